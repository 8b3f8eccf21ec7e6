// SPDX-License-Identifier: Apache-2.0
// Times of swiglu, forward and backward.
#include <limbeck/kernels/swiglu.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_swiglu(Bench& bench) {
  struct Slot {
    Tensor y, da, db, dy, a, b;
  };
  const std::int64_t n = 1 << 22;
  const auto make = [&] {
    return Slot{bench.zeros({n}),  bench.zeros({n}),     bench.zeros({n}),
                bench.random({n}), bench.random({n}, 4), bench.random({n})};
  };
  const std::string shape = detail::concat("n=", n, " f32");
  // Reads two and writes one; reads three and writes two.
  bench.time("swiglu/forward", shape, {.bytes = 12.0 * static_cast<double>(n)}, make,
             [](Slot& s) { swiglu_forward(s.y, s.a, s.b); });
  bench.time("swiglu/backward", shape, {.bytes = 20.0 * static_cast<double>(n)}, make,
             [](Slot& s) { swiglu_backward(s.da, s.db, s.dy, s.a, s.b); });
}

}  // namespace limbeck
