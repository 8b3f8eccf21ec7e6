// SPDX-License-Identifier: Apache-2.0
// Times of dropout.
#include <limbeck/kernels/dropout.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_dropout(Bench& bench) {
  struct Slot {
    Tensor y, x;
  };
  for (const std::int64_t n : {128 * 1200, 1 << 20}) {
    const auto make = [&] { return Slot{bench.zeros({n}), bench.random({n})}; };
    bench.time("dropout/p=0.5", detail::concat("n=", n, " f32"),
               {.bytes = 8 * static_cast<double>(n)}, make, [](Slot& s) {
                 dropout(s.y, s.x, {.p = 0.5, .stream = {1, 2, 3, RngPurpose::dropout}});
               });
  }
}

}  // namespace limbeck
