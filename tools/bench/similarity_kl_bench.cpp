// SPDX-License-Identifier: Apache-2.0
// Times of the divergence of similarities, with the gradient.
#include <limbeck/kernels/similarity_kl.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_similarity_kl(Bench& bench) {
  struct Slot {
    Tensor row_loss, dgram, student, teacher;
  };
  for (const std::int64_t N : {64, 256, 1024}) {
    const Shape shape{N, N};
    const auto make = [&] {
      return Slot{bench.zeros({N}), bench.zeros(shape), bench.random(shape, 1),
                  bench.random(shape, 1)};
    };
    const double elements = static_cast<double>(shape.numel());
    // Reads both and writes the gradient; a logarithm and two exponentials each.
    bench.time("similarity_kl/forward_with_grad", detail::concat("N=", N, " f32"),
               {.bytes = 12 * elements, .exps = 3 * elements}, make, [](Slot& s) {
                 similarity_kl_forward_with_grad(s.row_loss, s.dgram, s.student, s.teacher);
               });
  }
}

}  // namespace limbeck
