// SPDX-License-Identifier: Apache-2.0
// Times of the convolution and its two gradients.
#include <limbeck/kernels/conv2d.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_conv2d(Bench& bench) {
  struct Slot {
    Tensor y, dx, dw, x, dy, w, bias;
  };
  struct Case {
    Shape x, w;
    std::int64_t padding = 1;
  };
  for (const Case& c :
       {Case{{64, 28, 28, 1}, {32, 3, 3, 1}}, Case{{128, 32, 32, 16}, {16, 3, 3, 16}},
        Case{{128, 28, 28, 1}, {32, 5, 5, 1}, 2}, Case{{128, 14, 14, 32}, {64, 5, 5, 32}, 0},
        Case{{128, 8, 8, 64}, {64, 3, 3, 64}}, Case{{64, 14, 14, 32}, {64, 3, 3, 32}},
        Case{{16, 28, 28, 128}, {128, 3, 3, 128}}}) {
    const Conv2dOptions options{.padding = c.padding};
    const Shape y = conv2d_output_shape(c.x, c.w, options);
    const auto make = [&] {
      return Slot{bench.zeros(y),  bench.zeros(c.x),  bench.zeros(c.w),    bench.random(c.x),
                  bench.random(y), bench.random(c.w), bench.random({y[3]})};
    };
    const double elements = static_cast<double>(c.x.numel() + c.w.numel() + y.numel());
    const double products = static_cast<double>(y.numel() * c.w[1] * c.w[2] * c.w[3]);
    const Work work{.bytes = 4 * elements, .flops = 2 * products};
    const std::string shape = detail::concat("x", c.x, " w", c.w);
    bench.time("conv2d/forward", shape, work, make,
               [&](Slot& s) { conv2d_forward(s.y, s.x, s.w, s.bias, options); });
    bench.time("conv2d/backward_data", shape, work, make,
               [&](Slot& s) { conv2d_backward_data(s.dx, s.dy, s.w, options); });
    bench.time("conv2d/backward_weight", shape, work, make,
               [&](Slot& s) { conv2d_backward_weight(s.dw, s.x, s.dy, Out::write, options); });
  }
}

}  // namespace limbeck
