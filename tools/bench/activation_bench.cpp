// SPDX-License-Identifier: Apache-2.0
// Times of the activations, forward and backward.
#include <limbeck/kernels/activation.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_activation(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  const std::int64_t n = 1 << 20;
  const double N = static_cast<double>(n);
  for (const Activation act :
       {Activation::relu, Activation::gelu, Activation::tanh, Activation::sigmoid, Activation::silu,
        Activation::gelu_tanh, Activation::relu6, Activation::hardswish}) {
    const auto make = [&] {
      return Slot{bench.zeros({n}), bench.zeros({n}), bench.random({n}, 4), bench.random({n})};
    };
    const std::string name(activation_name(act)), shape = detail::concat("n=", n, " f32");
    bench.time("activation/" + name, shape, {.bytes = 8 * N}, make,
               [&](Slot& s) { activation_forward(s.y, s.x, act); });
    bench.time("activation/" + name + "_backward", shape, {.bytes = 12 * N}, make,
               [&](Slot& s) { activation_backward(s.dx, s.dy, s.x, act); });
  }
}

}  // namespace limbeck
