// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/schedule.h>

#include <algorithm>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

// (1 + cos(pi t)) / 2 for t in [0,1], within 1e-16. Not std::cos, whose last bit depends on the
// machine: it would reach every weight.
double half_cosine(double t) {
  constexpr double kPi = 3.14159265358979323846;
  const bool upper = t > 0.5;
  const double x = kPi * (upper ? 1 - t : t);
  double term = 1, sum = 1;
  for (int k = 2; k <= 24; k += 2) {  // Taylor; (pi/2)^26 / 26! < 4e-22
    term *= -x * x / (k * (k - 1));
    sum += term;
  }
  return 0.5 * (upper ? 1 - sum : 1 + sum);
}

double decayed(const Schedule& s, std::int64_t step) {
  switch (s.kind) {
    case ScheduleKind::constant:
      return s.lr;
    case ScheduleKind::cosine: {
      const double t =
          static_cast<double>(step) / static_cast<double>(s.total_steps - s.warmup_steps);
      return s.final_lr + (s.lr - s.final_lr) * half_cosine(std::min(t, 1.0));
    }
    case ScheduleKind::step: {
      double lr = s.lr;
      for (std::int64_t drop = step / s.step_size; drop > 0 && lr != 0; --drop) lr *= s.gamma;
      return lr;
    }
  }
  throw std::invalid_argument("learning_rate: unknown kind");
}

void check(const Schedule& s) {
  LIMBECK_CHECK(s.lr >= 0, "learning_rate: lr is ", s.lr, "; expected lr >= 0");
  LIMBECK_CHECK(s.warmup_steps >= 0, "learning_rate: warmup_steps is ", s.warmup_steps,
                "; expected >= 0");
  LIMBECK_CHECK(s.kind != ScheduleKind::cosine || s.total_steps > s.warmup_steps,
                "learning_rate: total_steps is ", s.total_steps,
                "; expected more than warmup_steps, ", s.warmup_steps);
  LIMBECK_CHECK(s.kind != ScheduleKind::step || s.step_size >= 1, "learning_rate: step_size is ",
                s.step_size, "; expected >= 1");
  LIMBECK_CHECK(s.kind != ScheduleKind::step || (s.gamma > 0 && s.gamma <= 1),
                "learning_rate: gamma is ", s.gamma, "; expected 0 < gamma <= 1");
}

}  // namespace

double learning_rate(const Schedule& schedule, std::int64_t step) {
  check(schedule);
  LIMBECK_CHECK(step >= 0, "learning_rate: step is ", step, "; expected >= 0");
  if (step < schedule.warmup_steps)
    return schedule.lr * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  return decayed(schedule, step - schedule.warmup_steps);
}

}  // namespace limbeck
