// SPDX-License-Identifier: Apache-2.0
// Times of one update of the averages of a multilayer perceptron's parameters.
#include <limbeck/kernels/ema.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_ema(Bench& bench) {
  const std::vector<Shape> shapes = {{1200, 784}, {1200}, {1200, 1200}, {1200}, {10, 1200}, {10}};
  double count = 0;
  for (const Shape& shape : shapes) count += static_cast<double>(shape.numel());
  const auto make = [&] {
    std::vector<EmaPair> pairs;
    for (const Shape& shape : shapes) pairs.push_back({bench.random(shape), bench.random(shape)});
    return pairs;
  };
  bench.time("ema/step", detail::concat("parameters=", count, " f32"), {.bytes = 12 * count}, make,
             [](std::vector<EmaPair>& pairs) { ema_step(pairs, 0.999); });
}

}  // namespace limbeck
