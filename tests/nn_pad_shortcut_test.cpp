// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/pad_shortcut.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class PadShortcutTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(PadShortcutTest);

// A 3x2 image of 1 channel: rows 0 and 2, column 0; the channel is the second of 4.
TEST_P(PadShortcutTest, EveryOtherCellBetweenZeros) {
  PadShortcut layer(1, 4);
  Context context;
  const Variable x(make({1, 2, 3, 4, 5, 6}, {1, 3, 2, 1}), true);
  const Variable y = layer.forward(x, context);
  EXPECT_EQ(y.shape(), Shape({1, 2, 1, 4}));
  EXPECT_EQ(layer.output_shape(x.shape()), y.shape());
  expect_close(y.value(), {0, 1, 0, 0, 0, 5, 0, 0}, 0);
  y.backward(make({9, 1, 9, 9, 9, 2, 9, 9}, {1, 2, 1, 4}));
  expect_close(x.grad(), {1, 0, 0, 0, 2, 0}, 0);
}

TEST_P(PadShortcutTest, WithNothingToChangeItIsTheIdentity) {
  PadShortcut layer(3, 3, 1);
  Context context;
  const Tensor x = make(random_values(2 * 2 * 2 * 3), {2, 2, 2, 3});
  EXPECT_TRUE(same_bytes(layer.forward(Variable(x), context).value(), x));
}

TEST(PadShortcut, Rejections) {
  expect_error([] { PadShortcut(3, 2); }, "PadShortcut: 3 in, 2 out, stride 2; expected 1 <= in");
  expect_error([] { PadShortcut(3, 4, 0); }, "3 in, 4 out, stride 0; expected");
  expect_error(
      [] {
        PadShortcut(3, 4).output_shape({1, 4, 4, 2});
      },
      "PadShortcut(3, 4, stride 2): input has shape (1,4,4,2); expected (N,H,W,3)");
}

}  // namespace
}  // namespace limbeck::testing
