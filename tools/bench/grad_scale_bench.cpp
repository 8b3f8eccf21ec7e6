// SPDX-License-Identifier: Apache-2.0
// Times of the global norm of the gradients of a multilayer perceptron.
#include <limbeck/kernels/grad_scale.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_grad_scale(Bench& bench) {
  const std::vector<Shape> shapes = {{1200, 784}, {1200}, {1200, 1200}, {1200}, {10, 1200}, {10}};
  double count = 0;
  for (const Shape& shape : shapes) count += static_cast<double>(shape.numel());
  struct Step {
    std::vector<Tensor> grads;
    Tensor factor, norm;
  };
  const auto make = [&] {
    Step step{{}, bench.zeros({1}), bench.zeros({1})};
    for (const Shape& shape : shapes) step.grads.push_back(bench.random(shape));
    return step;
  };
  bench.time("grad_scale/clip", detail::concat("parameters=", count, " f32"), {.bytes = 4 * count},
             make, [](Step& s) { grad_scale(s.factor, s.norm, s.grads, {.max_norm = 1}); });
}

}  // namespace limbeck
