// SPDX-License-Identifier: Apache-2.0
// Times of the elementwise operations.
#include <limbeck/kernels/elementwise.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_elementwise(Bench& bench) {
  struct Slot {
    Tensor y, a, b, s;
  };
  const std::int64_t n = 1 << 20;
  const double N = static_cast<double>(n);
  const auto make = [&] {
    return Slot{bench.zeros({n}), bench.random({n}), bench.random({n}), bench.random({1})};
  };
  const std::string shape = detail::concat("n=", n, " f32");
  bench.time("elementwise/add", shape, {.bytes = 12 * N}, make,
             [](Slot& s) { add(s.y, s.a, s.b); });
  bench.time("elementwise/mul", shape, {.bytes = 12 * N}, make,
             [](Slot& s) { mul(s.y, s.a, s.b); });
  bench.time("elementwise/scale", shape, {.bytes = 8 * N}, make,
             [](Slot& s) { scale(s.y, s.a, 0.5); });
  bench.time("elementwise/axpy", shape, {.bytes = 12 * N}, make,
             [](Slot& s) { axpy(s.y, 1e-3, s.a); });
  bench.time("elementwise/exp", shape, {.bytes = 8 * N}, make, [](Slot& s) { exp(s.y, s.a); });
  bench.time("elementwise/scale_by", shape, {.bytes = 8 * N}, make,
             [](Slot& s) { scale_by(s.y, s.a, s.s); });
}

}  // namespace limbeck
