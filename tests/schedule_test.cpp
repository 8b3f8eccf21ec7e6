// SPDX-License-Identifier: Apache-2.0
// Tests of the learning-rate schedules.
#include <limbeck/nn/schedule.h>

#include <cmath>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Schedule, ConstantStaysAtThePeak) {
  const Schedule s{.lr = 0.25};
  EXPECT_EQ(learning_rate(s, 0), 0.25);
  EXPECT_EQ(learning_rate(s, 1000000), 0.25);
}

// lr (s+1)/w: 4 warm-up steps to 0.8 pass 0.2, 0.4, 0.6, 0.8.
TEST(Schedule, WarmupRisesLinearlyToThePeak) {
  const Schedule s{.lr = 0.8, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(learning_rate(s, 0), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(s, 1), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(s, 2), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(s, 3), 0.8);
  EXPECT_EQ(learning_rate(s, 4), 0.8);
}

TEST(Schedule, CosineFallsFromThePeakToTheFinalRate) {
  const Schedule s{.kind = ScheduleKind::cosine,
                   .lr = 1.0,
                   .warmup_steps = 10,
                   .total_steps = 110,
                   .final_lr = 0.1};
  EXPECT_EQ(learning_rate(s, 10), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(s, 60), 0.55);  // half way: the mean of both ends
  EXPECT_EQ(learning_rate(s, 110), 0.1);
  EXPECT_EQ(learning_rate(s, 500), 0.1);
  for (int step = 10; step < 110; ++step) {
    const double t = (step - 10) / 100.0;
    const double expected = 0.1 + 0.9 * 0.5 * (1 + std::cos(3.14159265358979323846 * t));
    EXPECT_NEAR(learning_rate(s, step), expected, 4e-16) << step;  // both round a few times near 1
    EXPECT_LE(learning_rate(s, step + 1), learning_rate(s, step)) << step;
  }
}

// 0.5 for steps 2..4 after a warm-up of 2, then times 0.1 every 3 steps.
TEST(Schedule, StepDropsByGamma) {
  const Schedule s{.kind = ScheduleKind::step, .lr = 0.5, .warmup_steps = 2, .step_size = 3};
  EXPECT_EQ(learning_rate(s, 2), 0.5);
  EXPECT_EQ(learning_rate(s, 4), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(s, 5), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate(s, 8), 0.005);
  EXPECT_EQ(learning_rate(s, 100000), 0);  // underflows, and returns at once
}

TEST(Schedule, Rejections) {
  expect_error([] { learning_rate({.lr = -1}, 0); }, "learning_rate: lr is -1; expected lr >= 0");
  expect_error([] { learning_rate({.lr = 1}, -1); }, "step is -1; expected >= 0");
  expect_error([] { learning_rate({.lr = 1, .warmup_steps = -2}, 0); }, "warmup_steps is -2");
  expect_error(
      [] {
        learning_rate({.kind = ScheduleKind::cosine, .lr = 1, .warmup_steps = 5, .total_steps = 5},
                      0);
      },
      "total_steps is 5; expected more than warmup_steps, 5");
  expect_error([] { learning_rate({.kind = ScheduleKind::step, .lr = 1}, 0); },
               "step_size is 0; expected >= 1");
  expect_error(
      [] { learning_rate({.kind = ScheduleKind::step, .lr = 1, .step_size = 1, .gamma = 2}, 0); },
      "gamma is 2; expected 0 < gamma <= 1");
}

}  // namespace
}  // namespace limbeck::testing
