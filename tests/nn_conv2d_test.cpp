// SPDX-License-Identifier: Apache-2.0
// Conv2d against PyTorch's: every option that changes which cells a window reads.
#include <limbeck/nn/conv2d.h>

#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class Conv2dLayerTest : public DeviceTest {
 protected:
  void compare(const char* name, std::int64_t in, std::int64_t out, std::int64_t kernel,
               const Conv2dOptions& options, bool bias) {
    SCOPED_TRACE(name);
    Conv2d layer(in, out, kernel, options, bias, dtype(), device());
    expect_parity(layer, Fixture("conv2d", name), device(), dtype());
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(Conv2dLayerTest);

TEST_P(Conv2dLayerTest, AgreesWithPyTorch) {
  compare("plain", 3, 4, 3, {.padding = 1}, true);
  compare("pointwise", 5, 4, 1, {}, false);
  compare("strided", 3, 4, 3, {.stride = 2, .padding = 1}, false);
  compare("dilated", 2, 3, 3, {.padding = 2, .dilation = 2}, true);
  compare("grouped", 4, 6, 3, {.stride = 2, .padding = 1, .groups = 2}, true);
  compare("depthwise", 4, 4, 3, {.padding = 1, .groups = 4}, false);
  compare("depthwise_strided", 3, 3, 5, {.stride = 2, .padding = 2, .groups = 3}, true);
}

}  // namespace
}  // namespace limbeck::testing
