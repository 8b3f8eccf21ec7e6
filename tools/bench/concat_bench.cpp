// SPDX-License-Identifier: Apache-2.0
// Times of joining two tensors along either axis.
#include <limbeck/kernels/concat.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_concat(Bench& bench) {
  struct Slot {
    Tensor y, a, b;
  };
  const std::int64_t N = 4096, C = 768;
  for (const int axis : {0, 1}) {
    const auto make = [&] {
      return Slot{bench.zeros(axis == 0 ? Shape{2 * N, C} : Shape{N, 2 * C}), bench.random({N, C}),
                  bench.random({N, C})};
    };
    const std::string shape = detail::concat("N=", N, " C=", C, " f32, twice");
    // Reads and writes 2 N C elements.
    bench.time(detail::concat("concat/axis=", axis), shape,
               {.bytes = 16.0 * static_cast<double>(N * C)}, make, [&](Slot& s) {
                 concat(s.y, {s.a, s.b}, axis);
               });
  }
}

}  // namespace limbeck
