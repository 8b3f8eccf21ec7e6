// SPDX-License-Identifier: Apache-2.0
// When a model is taught: the weight of one term of the loss over the run.
#pragma once

#include <cstdint>

namespace limbeck {

/// Shares of the run, in [0,1]. The default teaches at full weight from the first step to the last.
/// Co-distillation (Anil et al. 2018) waits until the peers have something to say: {.begin = 0.1}.
/// Weak-to-strong (Burns et al. 2023) and deep mutual learning rise slowly: {.ramp = 0.2}. A small
/// source has nothing more to say in the end (reverse distillation): {.fall = 0, .end = 0.6}.
struct LessonSchedule {
  double begin = 0;  ///< 0 before it: the burn-in
  double ramp = 0;   ///< rises linearly from 0 at begin to 1 at begin + ramp
  double fall = 1;   ///< falls linearly from 1 here, <= end
  double end = 1;    ///< to 0 here and after; 1 with fall = 1: never falls
};

/// What the weight of a term is multiplied by at step = 0, 1, ..., total - 1; with x = step /
/// total:
///   rise = 0 where x < begin, else min((x - begin) / ramp, 1)    (1 where ramp is 0)
///   left = 1 where x < fall, else max((end - x) / (end - fall), 0)    (0 where fall is end)
///   factor = rise left
/// A true ramp: it reaches 1, without a jump. Throws std::invalid_argument for a field, step or
/// total out of range.
double lesson_factor(const LessonSchedule& schedule, std::int64_t step, std::int64_t total);

}  // namespace limbeck
