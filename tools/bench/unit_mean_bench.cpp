// SPDX-License-Identifier: Apache-2.0
// Times of numbers divided by their mean, forward and backward.
#include <limbeck/kernels/unit_mean.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_unit_mean(Bench& bench) {
  struct Slot {
    Tensor y, mean, dx, x, dy;
  };
  for (const std::int64_t n : {2016, 32640}) {  // pairs of 64 and of 256 samples
    const auto make = [&] {
      Slot s{bench.zeros({n}), bench.zeros({1}), bench.zeros({n}), bench.random({n}, 1),
             bench.random({n}, 1)};
      unit_mean_forward(s.y, s.mean, s.x);  // for the backward
      return s;
    };
    const double bytes = 4.0 * static_cast<double>(n);
    const std::string text = detail::concat("n=", n, " f32");
    // Reads x and writes y; reads dy and y and writes dx.
    bench.time("unit_mean/forward", text, {.bytes = 2 * bytes}, make,
               [](Slot& s) { unit_mean_forward(s.y, s.mean, s.x); });
    bench.time("unit_mean/backward", text, {.bytes = 3 * bytes}, make,
               [](Slot& s) { unit_mean_backward(s.dx, s.dy, s.y, s.mean); });
  }
}

}  // namespace limbeck
