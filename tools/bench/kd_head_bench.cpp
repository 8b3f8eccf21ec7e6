// SPDX-License-Identifier: Apache-2.0
// Times of the output layers with the distillation loss, and of its parts where it is recomputed.
#include <limbeck/kernels/kd_head.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

struct Case {
  std::int64_t N, V, Hs, Ht;
  DType dtype;
};

struct Slot {
  Tensor row_loss, dhidden, dweight;
  Tensor student_hidden, student_weight, teacher_hidden, teacher_weight, labels;
};

// Products alone: what the loss takes is to hide behind them.
void bench_head(Bench& bench, const Case& c, bool with_grad) {
  const double N = static_cast<double>(c.N), V = static_cast<double>(c.V);
  const double Hs = static_cast<double>(c.Hs), Ht = static_cast<double>(c.Ht);
  const double size = static_cast<double>(dtype_size(c.dtype));
  // Reads both models once; writes the gradients, dweight in f32.
  const Work work{.bytes = size * (N + V) * (Hs + Ht) + (with_grad ? (size * N + 4 * V) * Hs : 0),
                  .flops = 2 * N * V * ((with_grad ? 3 : 1) * Hs + Ht),
                  .product = c.dtype};
  const auto make = [&] {
    Slot s{bench.zeros({c.N}),
           {},
           {},
           bench.random({c.N, c.Hs}, 1, c.dtype),
           bench.random({c.V, c.Hs}, 1, c.dtype),
           bench.random({c.N, c.Ht}, 1, c.dtype),
           bench.random({c.V, c.Ht}, 1, c.dtype),
           bench.random_index({c.N}, c.V)};
    if (with_grad) s.dhidden = bench.zeros({c.N, c.Hs}, c.dtype);
    if (with_grad) s.dweight = bench.zeros({c.V, c.Hs});
    return s;
  };
  const KdHeadOptions options{
      .loss = {.tau = 2, .kd_weight = 0.7, .ce_weight = 0.3, .mean_over = N}};
  bench.time(with_grad ? "kd_head/forward_with_grad" : "kd_head/forward",
             detail::concat("N=", c.N, " V=", c.V, " Hs=", c.Hs, " Ht=", c.Ht, " ", c.dtype), work,
             make, [&](Slot& s) {
               kd_head_forward_with_grad(s.row_loss, s.dhidden, s.dweight, s.student_hidden,
                                         s.student_weight, s.teacher_hidden, s.teacher_weight,
                                         s.labels, options);
             });
}

}  // namespace

void bench_kd_head(Bench& bench) {
  std::vector<Case> cases = {{64, 32000, 256, 512, DType::f32},
                             {512, 8000, 256, 512, DType::f32},
                             {64, 32000, 256, 512, DType::bf16}};
  if (bench.device().is_cuda())
    cases = {{8192, 32000, 768, 1024, DType::bf16},
             {8192, 50304, 768, 1024, DType::bf16},
             {8192, 128256, 2048, 4096, DType::bf16},
             {8192, 128256, 4096, 4096, DType::bf16},
             {8192, 256000, 2304, 3584, DType::bf16}};
  for (const Case& c : cases)
    for (const bool with_grad : {true, false}) bench_head(bench, c, with_grad);
}

}  // namespace limbeck
