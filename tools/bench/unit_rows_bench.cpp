// SPDX-License-Identifier: Apache-2.0
// Times of rows scaled to length 1, forward and backward.
#include <limbeck/kernels/unit_rows.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_unit_rows(Bench& bench) {
  struct Slot {
    Tensor y, norm, dx, x, dy;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Shape& shape : {Shape{8192, 64}, Shape{4096, 512}, Shape{256, 32768}}) {
      const auto make = [&] {
        Slot s{bench.zeros(shape, dtype), bench.zeros({shape[0]}), bench.zeros(shape, dtype),
               bench.random(shape, 4, dtype), bench.random(shape, 1, dtype)};
        unit_rows_forward(s.y, s.norm, s.x);  // for the backward
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
      const std::string text = detail::concat("N=", shape[0], " D=", shape[1], " ", dtype);
      // Reads x and writes y; reads dy and y and writes dx.
      bench.time("unit_rows/forward", text, {.bytes = 2 * bytes}, make,
                 [](Slot& s) { unit_rows_forward(s.y, s.norm, s.x); });
      bench.time("unit_rows/backward", text, {.bytes = 3 * bytes}, make,
                 [](Slot& s) { unit_rows_backward(s.dx, s.dy, s.y, s.norm); });
    }
}

}  // namespace limbeck
