// SPDX-License-Identifier: Apache-2.0
// Times of maximum and average pooling, forward and backward.
#include <limbeck/kernels/pool2d.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_pool2d(Bench& bench) {
  struct Slot {
    Tensor y, index, dx, x, dy;
  };
  const Pool2dOptions options{};
  for (const Shape& x : {Shape{128, 28, 28, 32}, Shape{128, 14, 14, 64}, Shape{128, 28, 28, 8}}) {
    const Shape y = pool2d_output_shape(x, options);
    const auto make = [&] {
      Slot s{bench.zeros(y), bench.zeros(y, DType::i32), bench.zeros(x), bench.random(x),
             bench.random(y)};
      max_pool2d_forward(s.y, s.index, s.x, options);  // winners for the backward
      return s;
    };
    const double in = static_cast<double>(x.numel()), out = static_cast<double>(y.numel());
    const std::string shape = detail::concat(x, " f32");
    bench.time("pool2d/max_forward", shape, {.bytes = 4 * (in + 2 * out)}, make,
               [&](Slot& s) { max_pool2d_forward(s.y, s.index, s.x, options); });
    bench.time("pool2d/max_backward", shape, {.bytes = 4 * (in + 2 * out)}, make,
               [&](Slot& s) { max_pool2d_backward(s.dx, s.dy, s.index, options); });
    bench.time("pool2d/avg_forward", shape, {.bytes = 4 * (in + out)}, make,
               [&](Slot& s) { avg_pool2d_forward(s.y, s.x, options); });
    bench.time("pool2d/avg_backward", shape, {.bytes = 4 * (in + out)}, make,
               [&](Slot& s) { avg_pool2d_backward(s.dx, s.dy, options); });
  }
}

}  // namespace limbeck
