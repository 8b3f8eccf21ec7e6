// SPDX-License-Identifier: Apache-2.0
// Times of sums with a gate.
#include <limbeck/kernels/gated_sum.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_gated_sum(Bench& bench) {
  struct Slot {
    Tensor y, gates, dgates;
    std::vector<Tensor> peers, dpeers;
  };
  for (const Shape& shape : {Shape{128, 100}, Shape{4096, 1000}}) {
    const double elements = static_cast<double>(shape.numel());
    const auto make = [&] {
      return Slot{bench.random(shape),
                  bench.random({shape[0], 3}),
                  bench.zeros({shape[0], 3}),
                  {bench.random(shape), bench.random(shape), bench.random(shape)},
                  {bench.zeros(shape), bench.zeros(shape), bench.zeros(shape)}};
    };
    const std::string text = detail::concat("3 x ", shape, " f32");
    bench.time("gated_sum/forward", text, {.bytes = 16 * elements}, make,
               [](Slot& s) { gated_sum_forward(s.y, s.gates, s.peers); });
    bench.time("gated_sum/backward", text, {.bytes = 28 * elements}, make,
               [](Slot& s) { gated_sum_backward(s.dgates, s.dpeers, s.y, s.gates, s.peers); });
  }
}

}  // namespace limbeck
