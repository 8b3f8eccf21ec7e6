// SPDX-License-Identifier: Apache-2.0
// Times of the code loss, fused and as separate ops.
#include <limbeck/kernels/encode_and_compare.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/rademacher_projection.h>
#include <limbeck/kernels/reduce.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

struct Slot {
  EncodeAndCompareOutputs out;
  Tensor student, teacher, cs, ct, square, loss;
};

void separate_ops(Slot& s, const EncodeAndCompareOptions& o) {
  rademacher_projection_forward(s.cs, s.student, std::get<RademacherMatrix>(o.student));
  rademacher_projection_forward(s.ct, s.teacher, std::get<RademacherMatrix>(o.teacher));
  axpy(s.cs, -1, s.ct);
  mul(s.square, s.cs, s.cs);
  sum(s.loss, s.square);
  scale(s.cs, s.cs, 2.0 / static_cast<double>(s.cs.numel()));
  rademacher_projection_backward(s.out.dstudent, s.cs, std::get<RademacherMatrix>(o.student));
}

}  // namespace

void bench_encode_and_compare(Bench& bench) {
  struct Case {
    std::int64_t N, Ds, Dt, K;
  };
  for (const auto& [N, Ds, Dt, K] :
       {Case{128, 512, 1024, 64}, Case{1024, 1024, 2048, 256}, Case{1024, 2048, 4096, 256}}) {
    const auto make = [&, N = N, Ds = Ds, Dt = Dt, K = K] {
      return Slot{{bench.zeros({N}), bench.zeros({N, Ds}), {}, {}},
                  bench.random({N, Ds}),
                  bench.random({N, Dt}),
                  bench.zeros({N, K}),
                  bench.zeros({N, K}),
                  bench.zeros({N, K}),
                  bench.zeros({1})};
    };
    const double rows = static_cast<double>(N), wide = static_cast<double>(2 * Ds + Dt);
    // Three products, one addition per element and number of a code.
    const Work signs{.bytes = 4 * rows * wide, .flops = rows * wide * static_cast<double>(K)};
    const std::string text = detail::concat("N=", N, " Ds=", Ds, " Dt=", Dt, " K=", K, " f32");
    const EncodeAndCompareOptions rademacher{
        .K = K, .student = RademacherMatrix{1, 0}, .teacher = RademacherMatrix{2, 0}};
    bench.time("encode_and_compare/rademacher", text, signs, make, [&](Slot& s) {
      encode_and_compare_forward_with_grad(s.out, s.student, s.teacher, {}, rademacher);
    });
    bench.time("encode_and_compare/separate_ops", text, signs, make,
               [&](Slot& s) { separate_ops(s, rademacher); });
    const EncodeAndCompareOptions sketch{
        .K = K,
        .student = count_sketch_plan(Ds, K, {.seed = 1}, bench.device()),
        .teacher = count_sketch_plan(Dt, K, {.seed = 2}, bench.device())};
    bench.time("encode_and_compare/count_sketch", text, {.bytes = 4 * rows * wide}, make,
               [&](Slot& s) {
                 encode_and_compare_forward_with_grad(s.out, s.student, s.teacher, {}, sketch);
               });
  }
}

}  // namespace limbeck
