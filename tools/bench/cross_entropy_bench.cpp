// SPDX-License-Identifier: Apache-2.0
// Times of the cross-entropy with its gradient.
#include <limbeck/kernels/cross_entropy.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_cross_entropy(Bench& bench) {
  struct Slot {
    Tensor row_loss, dlogits, logits, labels;
  };
  for (const Shape& shape :
       {Shape{128, 10}, Shape{8192, 10}, Shape{1024, 1000}, Shape{64, 50257}}) {
    const std::int64_t N = shape[0], V = shape[1];
    const double elements = static_cast<double>(shape.numel());
    const auto make = [&] {
      return Slot{bench.zeros({N}), bench.zeros(shape), bench.random(shape, 4),
                  bench.random_index({N}, V)};
    };
    bench.time("cross_entropy/forward_with_grad", detail::concat("N=", N, " V=", V, " f32"),
               {.bytes = 8 * elements, .exps = elements}, make, [](Slot& s) {
                 cross_entropy_forward_with_grad(s.row_loss, s.dlogits, s.logits, s.labels, {});
               });
  }
}

}  // namespace limbeck
