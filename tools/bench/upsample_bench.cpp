// SPDX-License-Identifier: Apache-2.0
// Times of enlarging images twofold, forward and backward.
#include <limbeck/kernels/upsample.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_upsample(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  for (const UpsampleMode mode : {UpsampleMode::nearest, UpsampleMode::bilinear}) {
    const UpsampleOptions options = {mode};
    const Shape x = {32, 28, 28, 64}, y = upsample_output_shape(x, options);
    const auto make = [&] {
      return Slot{bench.zeros(y), bench.zeros(x), bench.random(x), bench.random(y)};
    };
    const Work work{.bytes = 4 * static_cast<double>(x.numel() + y.numel())};
    const std::string name = mode == UpsampleMode::nearest ? "nearest" : "bilinear";
    const std::string shape = detail::concat(x, " f32");
    bench.time("upsample/" + name + "_forward", shape, work, make,
               [&](Slot& s) { upsample_forward(s.y, s.x, options); });
    bench.time("upsample/" + name + "_backward", shape, work, make,
               [&](Slot& s) { upsample_backward(s.dx, s.dy, options); });
  }
}

}  // namespace limbeck
