// SPDX-License-Identifier: Apache-2.0
// ConvTranspose2d against PyTorch's.
#include <limbeck/nn/conv_transpose2d.h>

#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class ConvTranspose2dLayerTest : public DeviceTest {
 protected:
  void compare(const char* name, std::int64_t in, std::int64_t out, std::int64_t kernel,
               const ConvTranspose2dOptions& options, bool bias) {
    SCOPED_TRACE(name);
    ConvTranspose2d layer(in, out, kernel, options, bias, dtype(), device());
    expect_parity(layer, Fixture("conv_transpose2d", name), device(), dtype());
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(ConvTranspose2dLayerTest);

TEST_P(ConvTranspose2dLayerTest, AgreesWithPyTorch) {
  compare("plain", 3, 4, 3, {}, true);
  compare("strided", 3, 4, 3, {{.stride = 2, .padding = 1}, 1}, false);
  compare("doubling", 4, 2, 4, {{.stride = 2, .padding = 1}}, true);
  compare("dilated", 2, 3, 3, {{.stride = 2, .padding = 1, .dilation = 2}, 1}, true);
  compare("grouped", 4, 6, 3, {{.stride = 2, .groups = 2}}, true);
  compare("depthwise", 4, 4, 3, {{.stride = 2, .padding = 1, .groups = 4}}, true);
}

TEST(ConvTranspose2d, DescribesItself) {
  EXPECT_EQ(ConvTranspose2d(3, 8, 3).describe(),
            "ConvTranspose2d(3, 8, kernel 3, stride 1, padding 0)");
  const ConvTranspose2dOptions all = {{.stride = 2, .padding = 1, .dilation = 3, .groups = 2}, 1};
  EXPECT_EQ(ConvTranspose2d(4, 8, 3, all).describe(),
            "ConvTranspose2d(4, 8, kernel 3, stride 2, padding 1, output padding 1, dilation 3, "
            "groups 2)");
}

TEST(ConvTranspose2d, Rejections) {
  expect_error([] { ConvTranspose2d(0, 8, 3); }, "ConvTranspose2d: 0 in, 8 out, kernel 3");
  expect_error([] { ConvTranspose2d(3, 8, 3, {{.stride = 0}}); }, "ConvTranspose2d: stride 0");
  expect_error(
      [] {
        ConvTranspose2d(3, 8, 3, {{.stride = 2}, 2});
      },
      "ConvTranspose2d: output_padding 2, stride 2; expected");
  expect_error([] { ConvTranspose2d(3, 8, 3, {{.groups = 2}}); },
               "ConvTranspose2d: 3 in, 8 out, groups 2; expected groups to divide both");
  const ConvTranspose2d layer(3, 8, 3, {{.padding = 2}});
  expect_error([&] { layer.output_shape({1, 4, 4, 2}); }, "input has shape (1,4,4,2); expected");
  expect_error(
      [&] {
        layer.output_shape({1, 2, 4, 3});
      },
      "input has shape (1,2,4,3); expected (N,H,W,3) with an output of at least 1x1");
}

}  // namespace
}  // namespace limbeck::testing
