// SPDX-License-Identifier: Apache-2.0
// Tests of the weight of a term over the run.
#include <limbeck/distill/lesson_schedule.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

std::vector<double> factors(const LessonSchedule& schedule, std::int64_t total) {
  std::vector<double> list;
  for (std::int64_t step = 0; step < total; ++step)
    list.push_back(lesson_factor(schedule, step, total));
  return list;
}

void expect_factors(const LessonSchedule& schedule, const std::vector<double>& expected) {
  const std::vector<double> got = factors(schedule, static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_DOUBLE_EQ(got[i], expected[i]) << i;
}

TEST(LessonSchedule, TeachesAtFullWeightByDefault) {
  for (const double factor : factors({}, 7)) EXPECT_EQ(factor, 1);
  EXPECT_EQ(lesson_factor({}, 0, 1), 1);
}

TEST(LessonSchedule, IsSilentDuringTheBurnIn) {
  expect_factors({.begin = 0.3}, {0, 0, 0, 1, 1, 1, 1, 1, 1, 1});
}

// 20 % of 10 steps: 0, 1/2, then 1. After a burn-in of 30 % the same two steps later.
TEST(LessonSchedule, RisesLinearly) {
  expect_factors({.ramp = 0.2}, {0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1});
  expect_factors({.begin = 0.5, .ramp = 0.25}, {0, 0, 0, 0, 0, 0.5, 1, 1});
}

// To 0 at 60 % of 10 steps: 1 - step/6.
TEST(LessonSchedule, FallsLinearlyToZero) {
  expect_factors({.fall = 0, .end = 0.6},
                 {1, 5.0 / 6, 4.0 / 6, 3.0 / 6, 2.0 / 6, 1.0 / 6, 0, 0, 0, 0});
  expect_factors({.fall = 0.5, .end = 1}, {1, 1, 1, 0.5});
  expect_factors({.fall = 0.5, .end = 0.5}, {1, 1, 0, 0});
}

TEST(LessonSchedule, RisesAndFalls) {
  expect_factors({.begin = 0.25, .ramp = 0.25, .fall = 0.5, .end = 0.75},
                 {0, 0, 0, 0.5, 1, 0.5, 0, 0});
}

// A ramp that jumps where it ends would differ from one step to the next by more than its slope.
TEST(LessonSchedule, NeverJumps) {
  const std::vector<double> f = factors({.begin = 0.1, .ramp = 0.1, .fall = 0.4, .end = 0.6}, 1000);
  for (std::size_t i = 1; i < f.size(); ++i)
    EXPECT_LE(std::abs(f[i] - f[i - 1]), 0.01 + 1e-12) << i;
  EXPECT_EQ(*std::max_element(f.begin(), f.end()), 1);
}

TEST(LessonSchedule, Rejections) {
  const auto error = [](const LessonSchedule& schedule, const std::string& message) {
    expect_error([&] { lesson_factor(schedule, 0, 1); }, message);
  };
  error({.begin = -0.5}, "lesson_factor: begin is -0.5; expected a share of the run, 0 to 1");
  error({.ramp = 2}, "ramp is 2");
  error({.fall = std::numeric_limits<double>::quiet_NaN()}, "fall is nan");
  error({.end = 1.5}, "end is 1.5");
  error({.end = 0.6}, "fall is 1, end 0.6; expected fall <= end");
  expect_error([] { lesson_factor({}, -1, 3); }, "step is -1 of 3; expected 0 <= step < total");
  expect_error([] { lesson_factor({}, 3, 3); }, "step is 3 of 3");
}

}  // namespace
}  // namespace limbeck::testing
