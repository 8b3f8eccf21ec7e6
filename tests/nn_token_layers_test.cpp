// SPDX-License-Identifier: Apache-2.0
// Layers on rows of tokens: values and gradients by hand.
#include <limbeck/nn/token_layers.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using Values = std::vector<double>;

class TokenLayersTest : public DeviceTest {
 protected:
  /// layer(x), whose gradients are those of the sum of dy * y.
  Variable run(Module& layer, const Variable& x, const Values& dy) {
    Context context;
    const Variable y = layer.forward(x, context);
    EXPECT_EQ(y.shape(), layer.output_shape(x.shape()));
    y.backward(make(dy, y.shape()));
    return y;
  }
  static Tensor& weight(Module& layer) { return layer.parameters()[0].value.value(); }
  static Tensor gradient(Module& layer) { return layer.parameters()[0].value.grad(); }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(TokenLayersTest);

TEST_P(TokenLayersTest, TheFirstTypeIsAdded) {
  TypeEmbedding layer(2, 2, dtype(), device());
  weight(layer).copy_from(make({10, 20, 30, 40}, {2, 2}));
  const Variable x(make({1, 2, 3, 4}, {1, 2, 2}), true);
  expect_close(run(layer, x, {1, 2, 3, 4}).value(), {11, 22, 13, 24}, 0);
  expect_close(x.grad(), {1, 2, 3, 4}, 0);
  expect_close(gradient(layer), {4, 6, 0, 0}, 0);
}

TEST_P(TokenLayersTest, CellsOfAnImageBecomeTokens) {
  ImageTokens tokens;
  TypeEmbedding type(1, 2, dtype(), device());
  const Variable image(make({1, 2, 3, 4}, {1, 2, 1, 2}), true);
  Context context;
  const Variable y = tokens.forward(image, context);
  EXPECT_EQ(y.shape(), Shape({1, 2, 2}));
  expect_close(run(type, y, {5, 6, 7, 8}).value(), {1, 2, 3, 4}, 0);
  expect_close(image.grad(), {5, 6, 7, 8}, 0);
}

TEST(TokenLayers, Rejections) {
  expect_error(
      [] {
        TypeEmbedding(2, 3).output_shape({1, 1, 2});
      },
      "TypeEmbedding(2, 3): input has shape (1,1,2); expected (N,T,3)");
  expect_error(
      [] {
        ImageTokens().output_shape({1, 2});
      },
      "ImageTokens: input has shape (1,2); expected (N,H,W,C)");
}

}  // namespace
}  // namespace limbeck::testing
