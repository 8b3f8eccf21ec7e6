// SPDX-License-Identifier: Apache-2.0
// Times of one SGD step over the parameters of a multilayer perceptron.
#include <limbeck/kernels/sgd.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_sgd(Bench& bench) {
  const std::vector<Shape> shapes = {{1200, 784}, {1200}, {1200, 1200}, {1200}, {10, 1200}, {10}};
  double count = 0;
  for (const Shape& shape : shapes) count += static_cast<double>(shape.numel());
  const auto make = [&] {
    std::vector<SgdParam> params;
    for (const Shape& shape : shapes)
      params.push_back({bench.random(shape), bench.random(shape), bench.zeros(shape), 0});
    return params;
  };
  // Reads value, gradient and momentum; writes value and momentum.
  bench.time(
      "sgd/momentum", detail::concat("parameters=", count, " f32"), {.bytes = 20 * count}, make,
      [](std::vector<SgdParam>& params) { sgd_step(params, {.lr = 1e-2, .momentum = 0.9}); });
}

}  // namespace limbeck
