// SPDX-License-Identifier: Apache-2.0
// Times of the distillation loss with its gradient.
#include <limbeck/kernels/kd_loss.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_kd_loss(Bench& bench) {
  struct Slot {
    Tensor row_loss, dstudent, student, teacher, labels;
  };
  const KdLossOptions options{.tau = 4, .kd_weight = 0.7, .ce_weight = 0.3};
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Shape& shape :
         {Shape{128, 10}, Shape{8192, 10}, Shape{1024, 1000}, Shape{64, 50257}}) {
      const std::int64_t N = shape[0], V = shape[1];
      const auto make = [&] {
        return Slot{bench.zeros({N}), bench.zeros(shape, dtype), bench.random(shape, 4, dtype),
                    bench.random(shape, 4, dtype), bench.random_index({N}, V)};
      };
      // Reads both logits once, writes the gradient once.
      const double bytes =
          3 * static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
      bench.time("kd_loss/forward_with_grad", detail::concat("N=", N, " V=", V, " ", dtype),
                 {.bytes = bytes}, make, [&](Slot& s) {
                   kd_loss_forward_with_grad(s.row_loss, s.dstudent, s.student, s.teacher, s.labels,
                                             options);
                 });
    }
}

}  // namespace limbeck
