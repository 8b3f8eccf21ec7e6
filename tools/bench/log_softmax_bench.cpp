// SPDX-License-Identifier: Apache-2.0
// Times of log-softmax, forward and backward.
#include <limbeck/kernels/log_softmax.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_log_softmax(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  for (const Shape& shape : {Shape{8192, 10}, Shape{1024, 1000}, Shape{64, 50257}}) {
    const auto make = [&] {
      return Slot{bench.zeros(shape), bench.zeros(shape), bench.random(shape, 4),
                  bench.random(shape)};
    };
    const double elements = static_cast<double>(shape.numel());
    const std::string text = detail::concat("N=", shape[0], " V=", shape[1], " f32");
    bench.time("log_softmax/forward", text, {.bytes = 8 * elements, .exps = elements}, make,
               [](Slot& s) { log_softmax_forward(s.y, s.x); });
    bench.time("log_softmax/backward", text, {.bytes = 12 * elements, .exps = elements}, make,
               [](Slot& s) { log_softmax_backward(s.dx, s.dy, s.x); });
  }
}

}  // namespace limbeck
