// SPDX-License-Identifier: Apache-2.0
// Times of average pooling to a given size, forward and backward.
#include <limbeck/kernels/adaptive_avg_pool2d.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_adaptive_avg_pool2d(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  for (const std::int64_t size : {1, 3}) {
    const Shape x = {128, 8, 8, 256}, y = {128, size, size, 256};
    const auto make = [&] {
      return Slot{bench.zeros(y), bench.zeros(x), bench.random(x), bench.random(y)};
    };
    const Work work{.bytes = 4 * static_cast<double>(x.numel() + y.numel())};
    const std::string shape = detail::concat(x, " to ", y, " f32");
    bench.time("adaptive_avg_pool2d/forward", shape, work, make,
               [&](Slot& s) { adaptive_avg_pool2d_forward(s.y, s.x); });
    bench.time("adaptive_avg_pool2d/backward", shape, work, make,
               [&](Slot& s) { adaptive_avg_pool2d_backward(s.dx, s.dy); });
  }
}

}  // namespace limbeck
