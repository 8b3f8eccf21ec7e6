// SPDX-License-Identifier: Apache-2.0
// Taps laid over each other.
#include <limbeck/distill/tap.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(CommonGrid, ImagesMeetOnTheSmallerExtents) {
  EXPECT_EQ(common_grid({8, 4, 16}, {4, 6, 3}), (TapGrid{4, 4}));
  EXPECT_EQ(common_grid({5, 16}, {5, 3}), (TapGrid{5, 1}));
  EXPECT_EQ(common_grid({5, 16}, {6, 3}), (TapGrid{1, 1}));
  EXPECT_EQ(common_grid({4, 4, 16}, {10}), (TapGrid{1, 1}));
  expect_error([] { common_grid({}, {3}); }, "tap: shape of one sample is ()");
}

TEST(Batches, OfShapesAndBack) {
  EXPECT_EQ(with_batch({2, 3}, 5), (Shape{5, 2, 3}));
  EXPECT_EQ(without_batch({5, 2, 3}), (Shape{2, 3}));
  expect_error([] { without_batch({}); }, "tap: shape of a batch is ()");
}

TEST(TapRows, AverageOverCellsAndSteps) {
  // Two samples of 2x2 cells and one channel.
  const Tensor image = Tensor::from<float>({1, 2, 3, 6, 0, 4, 8, 0}, {2, 2, 2, 1});
  EXPECT_EQ(to_doubles(tap_rows(image, {1, 1})), (std::vector<double>{3, 3}));
  EXPECT_EQ(to_doubles(tap_rows(image, {1, 2})), (std::vector<double>{2, 4, 4, 2}));
  EXPECT_EQ(tap_rows(image, {2, 2}).shape(), (Shape{8, 1}));
  const Tensor steps = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {1, 3, 2});
  EXPECT_EQ(to_doubles(tap_rows(steps, {1, 1})), (std::vector<double>{3, 4}));
  EXPECT_EQ(tap_rows(steps, {3, 1}).shape(), (Shape{3, 2}));
  expect_error(
      [&] {
        tap_rows(Tensor::zeros({2, 3}, DType::f32), {2, 2});
      },
      "tap: taps have shape (2,3); expected (N,C), (N,T,C) or (N,H,W,C) of 4 positions");
}

}  // namespace
}  // namespace limbeck::testing
