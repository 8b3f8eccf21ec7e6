// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/lesson_schedule.h>

#include <algorithm>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

void check_share(const char* name, double share) {
  LIMBECK_CHECK(share >= 0 && share <= 1, "lesson_factor: ", name, " is ", share,
                "; expected a share of the run, 0 to 1");
}

void check(const LessonSchedule& s, std::int64_t step, std::int64_t total) {
  check_share("begin", s.begin);
  check_share("ramp", s.ramp);
  check_share("fall", s.fall);
  check_share("end", s.end);
  LIMBECK_CHECK(s.fall <= s.end, "lesson_factor: fall is ", s.fall, ", end ", s.end,
                "; expected fall <= end");
  LIMBECK_CHECK(step >= 0 && step < total, "lesson_factor: step is ", step, " of ", total,
                "; expected 0 <= step < total");
}

double rise(const LessonSchedule& s, double x) {
  if (x < s.begin) return 0;
  return s.ramp > 0 ? std::min((x - s.begin) / s.ramp, 1.0) : 1;
}

double left(const LessonSchedule& s, double x) {
  if (x < s.fall) return 1;
  return x < s.end ? (s.end - x) / (s.end - s.fall) : 0;
}

}  // namespace

double lesson_factor(const LessonSchedule& schedule, std::int64_t step, std::int64_t total) {
  check(schedule, step, total);
  // A division, not a product with a share: 3 of 10 steps is then exactly the literal 0.3.
  const double x = static_cast<double>(step) / static_cast<double>(total);
  return rise(schedule, x) * left(schedule, x);
}

}  // namespace limbeck
