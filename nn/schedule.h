// SPDX-License-Identifier: Apache-2.0
// The learning rate as a function of the step.
#pragma once

#include <cstdint>

namespace limbeck {

enum class ScheduleKind { constant, cosine, step };

struct Schedule {
  ScheduleKind kind = ScheduleKind::constant;
  double lr = 0;                  ///< the peak, >= 0
  std::int64_t warmup_steps = 0;  ///< >= 0
  std::int64_t total_steps = 0;   ///< cosine: > warmup_steps
  double final_lr = 0;            ///< cosine: reached at total_steps
  std::int64_t step_size = 0;     ///< step: >= 1
  double gamma = 0.1;             ///< step
};

/// Learning rate of optimiser step s = 0, 1, ...; with w = warmup_steps and s' = s - w:
///   s < w:     lr (s+1) / w
///   constant:  lr
///   cosine:    final_lr + (lr - final_lr) (1 + cos(pi min(s' / (total_steps - w), 1))) / 2
///   step:      lr gamma^floor(s' / step_size)
/// The same bits on every machine. Throws std::invalid_argument for a field out of range.
double learning_rate(const Schedule& schedule, std::int64_t step);

}  // namespace limbeck
