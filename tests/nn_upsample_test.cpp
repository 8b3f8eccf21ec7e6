// SPDX-License-Identifier: Apache-2.0
// Upsample against PyTorch's.
#include <limbeck/nn/upsample.h>

#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class UpsampleLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(UpsampleLayerTest);

TEST_P(UpsampleLayerTest, AgreesWithPyTorch) {
  for (const auto& [mode, prefix] :
       {std::pair(UpsampleMode::nearest, "nearest_"), {UpsampleMode::bilinear, "bilinear_"}})
    for (const auto& [name, height, width] :
         {std::tuple("double", ScaleRatio{2, 1}, ScaleRatio{2, 1}),
          {"mixed", ScaleRatio{3, 1}, ScaleRatio{3, 2}},
          {"smaller", ScaleRatio{3, 4}, ScaleRatio{1, 2}}}) {
      SCOPED_TRACE(std::string(prefix) + name);
      Upsample layer({mode, height, width});
      expect_parity(layer, Fixture("upsample", std::string(prefix) + name), device(), dtype());
    }
}

TEST(Upsample, Rejections) {
  expect_error([] { Upsample({.height = {2, 0}}); }, "Upsample: scale 2/0; expected both >= 1");
  const Upsample layer({UpsampleMode::bilinear, {1, 4}, {2, 1}});
  EXPECT_EQ(layer.describe(), "Upsample(bilinear, 1/4, 2)");
  expect_error(
      [&] {
        layer.output_shape({1, 3, 4, 2});
      },
      "Upsample(bilinear, 1/4, 2): input has shape (1,3,4,2); expected (N,H,W,C)");
}

}  // namespace
}  // namespace limbeck::testing
