// SPDX-License-Identifier: Apache-2.0
// Times of layer norm, forward and backward.
#include <limbeck/kernels/layer_norm.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_layer_norm(Bench& bench) {
  struct Slot {
    Tensor y, mean, rstd, dx, dweight, x, dy, weight, bias;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Shape& shape : {Shape{8192, 64}, Shape{4096, 768}, Shape{1024, 4096}}) {
      const std::int64_t N = shape[0], C = shape[1];
      const auto make = [&] {
        Slot s{bench.zeros(shape, dtype),
               bench.zeros({N}),
               bench.zeros({N}),
               bench.zeros(shape, dtype),
               bench.zeros({C}, dtype),
               bench.random(shape, 4, dtype),
               bench.random(shape, 1, dtype),
               bench.random({C}, 1, dtype),
               bench.random({C}, 1, dtype)};
        layer_norm_forward(s.y, s.mean, s.rstd, s.x, s.weight, s.bias, 1e-5);
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
      const std::string text = detail::concat("N=", N, " C=", C, " ", dtype);
      // Reads x and writes y; reads dy and x and writes dx; reads dy and x.
      bench.time("layer_norm/forward", text, {.bytes = 2 * bytes}, make, [](Slot& s) {
        layer_norm_forward(s.y, s.mean, s.rstd, s.x, s.weight, s.bias, 1e-5);
      });
      bench.time("layer_norm/backward", text, {.bytes = 3 * bytes}, make,
                 [](Slot& s) { layer_norm_backward(s.dx, s.dy, s.x, s.mean, s.rstd, s.weight); });
      bench.time("layer_norm/backward_weight", text, {.bytes = 2 * bytes}, make,
                 [](Slot& s) { layer_norm_backward_weight(s.dweight, s.dy, s.x, s.mean, s.rstd); });
    }
}

}  // namespace limbeck
