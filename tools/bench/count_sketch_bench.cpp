// SPDX-License-Identifier: Apache-2.0
// Times of the count sketch, forward and backward.
#include <limbeck/kernels/count_sketch.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_count_sketch(Bench& bench) {
  struct Slot {
    Tensor wide, code;
  };
  struct Case {
    std::int64_t N, D, K;
    DType dtype;
  };
  for (const auto& [N, D, K, dtype] :
       {Case{4096, 512, 64, DType::f32}, Case{4096, 4096, 256, DType::f32},
        Case{4096, 4096, 256, DType::bf16}}) {
    const CountSketchPlan plan = count_sketch_plan(D, K, {.seed = 1}, bench.device());
    const auto make = [&, N = N, D = D, K = K, dtype = dtype] {
      return Slot{bench.random({N, D}, 1, dtype), bench.random({N, K}, 1, dtype)};
    };
    const double bytes = static_cast<double>(N * (D + K)) * static_cast<double>(dtype_size(dtype));
    const std::string text = detail::concat("N=", N, " D=", D, " K=", K, " ", dtype);
    bench.time("count_sketch/forward", text, {.bytes = bytes}, make,
               [&](Slot& s) { count_sketch_forward(s.code, s.wide, plan); });
    bench.time("count_sketch/backward", text, {.bytes = bytes}, make,
               [&](Slot& s) { count_sketch_backward(s.wide, s.code, plan); });
  }
}

}  // namespace limbeck
