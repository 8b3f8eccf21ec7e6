// SPDX-License-Identifier: Apache-2.0
// Times of squared distances of all pairs of rows.
#include <limbeck/kernels/pair_squares.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_pair_squares(Bench& bench) {
  struct Slot {
    Tensor squares, x, dx, factor;
  };
  for (const auto& [N, D] : {std::pair<std::int64_t, std::int64_t>{128, 800}, {256, 512}}) {
    const auto make = [&, N = N, D = D] {
      Slot s{bench.zeros({N, N}, DType::f64), bench.random({N, D}), bench.zeros({N, D}),
             bench.random({1})};
      pair_squares_forward(s.squares, s.x);  // for the backward
      return s;
    };
    const std::string text = detail::concat("N=", N, " D=", D, " f32");
    const auto x = static_cast<double>(4 * N * D), squares = static_cast<double>(8 * N * N);
    // A difference and a product for each pair once; for the gradient of each row, of all pairs.
    const auto elements = static_cast<double>(N * N * D);
    bench.time("pair_squares/forward", text, {.bytes = x + squares, .flops = 1.5 * elements}, make,
               [](Slot& s) { pair_squares_forward(s.squares, s.x); });
    bench.time("pair_squares/backward", text, {.bytes = 2 * x + squares, .flops = 3 * elements},
               make, [](Slot& s) { pair_squares_backward(s.dx, s.x, s.squares, s.factor); });
  }
}

}  // namespace limbeck
