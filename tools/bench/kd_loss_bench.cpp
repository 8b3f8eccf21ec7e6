// SPDX-License-Identifier: Apache-2.0
// Times of the distillation loss with its gradient.
#include <limbeck/kernels/kd_loss.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

namespace {

struct Slot {
  Tensor row_loss, dstudent, student, teacher, labels;
};

void bench_shape(Bench& bench, const Shape& shape, DType dtype) {
  const KdLossOptions options{.tau = 4, .kd_weight = 0.7, .ce_weight = 0.3};
  const std::int64_t N = shape[0], V = shape[1];
  const auto make = [&] {
    return Slot{bench.zeros({N}), bench.zeros(shape, dtype), bench.random(shape, 4, dtype),
                bench.random(shape, 4, dtype), bench.random_index({N}, V)};
  };
  // Reads both logits once and writes the gradient once. The cross-entropy's exponential is the
  // student's to the fourth power.
  const double elements = static_cast<double>(shape.numel());
  const Work work{.bytes = 3 * static_cast<double>(dtype_size(dtype)) * elements,
                  .exps = 2 * elements};
  bench.time("kd_loss/forward_with_grad", detail::concat("N=", N, " V=", V, " ", dtype), work, make,
             [&](Slot& s) {
               kd_loss_forward_with_grad(s.row_loss, s.dstudent, s.student, s.teacher, s.labels,
                                         options);
             });
}

}  // namespace

void bench_kd_loss(Bench& bench) {
  const std::vector<Shape> small = {{1024, 10}, {1024, 100}, {1024, 1000}};
  const std::vector<Shape> cpu = {{256, 32000}, {64, 128000}};
  const std::vector<Shape> gpu = {{8192, 32768}, {8192, 131072}, {8192, 262144}};
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& shapes : {small, bench.device().is_cuda() ? gpu : cpu})
      for (const Shape& shape : shapes) bench_shape(bench, shape, dtype);
}

}  // namespace limbeck
