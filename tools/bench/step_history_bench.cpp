// SPDX-License-Identifier: Apache-2.0
// Time of keeping one number of a step.
#include <limbeck/kernels/step_history.h>

#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_step_history(Bench& bench) {
  struct Slot {
    Tensor history, value;
  };
  bench.time(
      "step_history/record", "n=100", {},
      [&] {
        return Slot{bench.zeros({100}), bench.random({1}, 1)};
      },
      [](Slot& s) { record_step(s.history, 250, s.value); });
}

}  // namespace limbeck
