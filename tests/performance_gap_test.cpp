// SPDX-License-Identifier: Apache-2.0
// Tests of the share of a performance gap that was recovered.
#include <limbeck/distill/performance_gap.h>

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace limbeck::testing {
namespace {

double recovered(double weak, double student, double ceiling) {
  return performance_gap_recovered({.weak = weak, .student = student, .ceiling = ceiling}).value();
}

TEST(PerformanceGap, HandNumbers) {
  EXPECT_EQ(recovered(0.5, 0.75, 1.0), 0.5);
  EXPECT_EQ(recovered(0.5, 0.875, 0.75), 1.5);   // better than the truth makes it
  EXPECT_EQ(recovered(0.5, 0.375, 0.75), -0.5);  // worse than who taught it
  EXPECT_EQ(recovered(0.8, 0.75, 0.75), 1);      // a ceiling below the weak model
}

TEST(PerformanceGap, EndsOfTheScale) {
  EXPECT_EQ(recovered(0.61, 0.61, 0.97), 0);
  EXPECT_EQ(recovered(0.61, 0.97, 0.97), 1);
}

TEST(PerformanceGap, WithoutAGapThereIsNoShareOfIt) {
  EXPECT_FALSE(performance_gap_recovered({.weak = 0.7, .student = 0.9, .ceiling = 0.7}));
}

TEST(PerformanceGap, AnUnknownMeasureStaysUnknown) {
  EXPECT_TRUE(std::isnan(recovered(0.5, std::numeric_limits<double>::quiet_NaN(), 1)));
}

}  // namespace
}  // namespace limbeck::testing
