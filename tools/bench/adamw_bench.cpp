// SPDX-License-Identifier: Apache-2.0
// Times of one AdamW step over the parameters of a multilayer perceptron.
#include <limbeck/kernels/adamw.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_adamw(Bench& bench) {
  const std::vector<Shape> shapes = {{1200, 784}, {1200}, {1200, 1200}, {1200}, {10, 1200}, {10}};
  double count = 0;
  for (const Shape& shape : shapes) count += static_cast<double>(shape.numel());
  const auto make = [&] {
    std::vector<AdamwParam> params;
    for (const Shape& shape : shapes)
      params.push_back(
          {bench.random(shape), bench.random(shape), bench.zeros(shape), bench.zeros(shape), 0.01});
    return params;
  };
  // Reads value, gradient and both moments; writes all but the gradient.
  bench.time("adamw/step", detail::concat("parameters=", count, " f32"), {.bytes = 28 * count},
             make,
             [](std::vector<AdamwParam>& params) { adamw_step(params, {.lr = 1e-3, .step = 1}); });
}

}  // namespace limbeck
