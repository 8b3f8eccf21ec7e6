// SPDX-License-Identifier: Apache-2.0
// AdaptiveAvgPool2d against PyTorch's.
#include <limbeck/nn/adaptive_avg_pool2d.h>

#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class AdaptiveAvgPool2dLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(AdaptiveAvgPool2dLayerTest);

TEST_P(AdaptiveAvgPool2dLayerTest, AgreesWithPyTorch) {
  AdaptiveAvgPool2d global(1, 1), uneven(3, 4), larger(5, 3);
  expect_parity(global, Fixture("adaptive_avg_pool2d", "global"), device(), dtype());
  expect_parity(uneven, Fixture("adaptive_avg_pool2d", "uneven"), device(), dtype());
  expect_parity(larger, Fixture("adaptive_avg_pool2d", "larger"), device(), dtype());
}

TEST(AdaptiveAvgPool2d, Rejections) {
  expect_error([] { AdaptiveAvgPool2d(0, 3); }, "AdaptiveAvgPool2d: output is 0x3; expected");
  const AdaptiveAvgPool2d layer(1, 2);
  EXPECT_EQ(layer.describe(), "AdaptiveAvgPool2d(1, 2)");
  expect_error(
      [&] {
        layer.output_shape({2, 3, 4});
      },
      "AdaptiveAvgPool2d(1, 2): input has shape (2,3,4); expected (N,H,W,C)");
}

}  // namespace
}  // namespace limbeck::testing
