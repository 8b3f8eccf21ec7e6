// SPDX-License-Identifier: Apache-2.0
// Times of softmax at a temperature, forward and backward.
#include <limbeck/kernels/softmax.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_softmax(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Shape& shape :
         {Shape{8192, 10}, Shape{8192, 100}, Shape{1024, 1000}, Shape{256, 32000}}) {
      const auto make = [&] {
        Slot s{bench.zeros(shape, dtype), bench.zeros(shape, dtype), bench.random(shape, 4, dtype),
               bench.random(shape, 1, dtype)};
        softmax_forward(s.y, s.x, 4);  // for the backward
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
      const std::string text = detail::concat("N=", shape[0], " V=", shape[1], " ", dtype);
      // Reads x and writes y; reads dy and y and writes dx.
      bench.time("softmax/forward", text,
                 {.bytes = 2 * bytes, .exps = static_cast<double>(shape.numel())}, make,
                 [](Slot& s) { softmax_forward(s.y, s.x, 4); });
      bench.time("softmax/backward", text, {.bytes = 3 * bytes}, make,
                 [](Slot& s) { softmax_backward(s.dx, s.dy, s.y, 4); });
    }
}

}  // namespace limbeck
