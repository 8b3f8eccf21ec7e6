// SPDX-License-Identifier: Apache-2.0
// Times of sums of squares over rows, forward and backward.
#include <limbeck/kernels/row_squares.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_row_squares(Bench& bench) {
  struct Slot {
    Tensor q, dx, x;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Shape& shape : {Shape{65536, 64}, Shape{16384, 256}, Shape{4096, 2048}}) {
      const auto make = [&] {
        Slot s{bench.zeros({shape[0]}), bench.zeros(shape, dtype), bench.random(shape, 4, dtype)};
        row_squares_forward(s.q, s.x);  // for the backward
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
      const std::string text = detail::concat("N=", shape[0], " C=", shape[1], " ", dtype);
      // Reads x; reads x and writes dx.
      bench.time("row_squares/forward", text, {.bytes = bytes}, make,
                 [](Slot& s) { row_squares_forward(s.q, s.x); });
      bench.time("row_squares/backward", text, {.bytes = 2 * bytes}, make,
                 [](Slot& s) { row_squares_backward(s.dx, s.q, s.x); });
    }
}

}  // namespace limbeck
