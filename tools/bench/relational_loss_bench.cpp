// SPDX-License-Identifier: Apache-2.0
// Times of distances and angles compared.
#include <limbeck/kernels/relational_loss.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/pair_squares.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_relational_loss(Bench& bench) {
  struct Slot {
    Tensor loss, dsquares, receiver, source;
  };
  for (const std::int64_t N : {64, 128, 256}) {
    const auto make = [&] {
      Slot s{bench.zeros({1}), bench.zeros({N, N}, DType::f64), bench.zeros({N, N}, DType::f64),
             bench.zeros({N, N}, DType::f64)};
      pair_squares_forward(s.receiver, bench.random({N, 32}));
      pair_squares_forward(s.source, bench.random({N, 32}));
      return s;
    };
    // Three angles of two triangles for each of N^3 / 2, some 25 operations to a triangle.
    const auto n = static_cast<double>(N);
    const Work work{.bytes = 3 * 8 * n * n, .flops = 25 * n * n * n};
    bench.time("relational_loss/forward_with_grad", detail::concat("N=", N, " f64"), work, make,
               [](Slot& s) {
                 relational_loss_forward_with_grad(s.loss, s.dsquares, s.receiver, s.source, {});
               });
  }
}

}  // namespace limbeck
