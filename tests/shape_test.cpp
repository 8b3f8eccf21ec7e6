// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/shape.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Shape, ExtentsAndElements) {
  const Shape s = {4, 3, 2};
  EXPECT_EQ(s.rank(), 3);
  EXPECT_EQ(s[0], 4);
  EXPECT_EQ(s[-1], 2);
  EXPECT_EQ(s.numel(), 24);
  EXPECT_EQ(s.str(), "(4,3,2)");
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ(Shape().str(), "()");
  EXPECT_EQ(Shape({3, 0}).numel(), 0);
}

TEST(Shape, EqualityLooksAtRankAndExtents) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2}), Shape({2, 1}));
  EXPECT_NE(Shape(), Shape({0}));
}

TEST(Shape, Rejections) {
  expect_error([] { Shape({1, 1, 1, 1, 1, 1, 1}); }, "Shape: rank 7; expected at most 6");
  expect_error([] { Shape({2, -1}); }, "Shape: extent 1 is -1; expected >= 0");
  expect_error(
      [] {
        Shape({std::int64_t{1} << 40, std::int64_t{1} << 40});
      },
      "Shape: more than 2^63 elements");
  expect_error([] { Shape({2, 3})[2]; }, "Shape: dimension 2 of (2,3)");
  expect_error([] { Shape({2, 3})[-3]; }, "Shape: dimension -3 of (2,3)");
}

}  // namespace
}  // namespace limbeck::testing
