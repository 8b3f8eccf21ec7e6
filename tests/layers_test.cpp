// SPDX-License-Identifier: Apache-2.0
// Tests of the single layers.
#include <limbeck/nn/activation.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/pool2d.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class LayersTest : public DeviceTest {
 protected:
  Variable input(const Shape& shape) const {
    return Variable(make(random_values(shape.numel()), shape));
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(LayersTest);

// w = ((1,2),(3,4)), b = (10,20), x = (5,-6): x w^T + b = (10-7, 20-9) = (3,11).
TEST_P(LayersTest, Linear) {
  Linear layer(2, 2, true, dtype(), device());
  layer.parameters()[0].value.value().copy_from(make({1, 2, 3, 4}, {2, 2}));
  layer.parameters()[1].value.value().copy_from(make({10, 20}, {2}));
  Context context;
  expect_close(layer.forward(Variable(make({5, -6}, {1, 2})), context).value(), {3, 11},
               tolerance());
  expect_close(layer.forward_fused(Variable(make({5, -60}, {1, 2})), Activation::relu).value(),
               {0, 0}, tolerance());
}

TEST_P(LayersTest, EveryLayersOutputHasThePromisedShape) {
  const Variable images = input({2, 7, 6, 3});
  Context context{.training = true};
  Linear linear(7 * 6 * 3, 5, false, dtype(), device());
  Conv2d conv(3, 4, 3, {2, 1}, true, dtype(), device());
  MaxPool2d largest({3, 2, 1});
  AvgPool2d mean({2, 2, 0});
  ActivationLayer gelu(Activation::gelu);
  Dropout dropout(0.3);
  Flatten flatten;
  for (Module* layer :
       std::initializer_list<Module*>{&linear, &conv, &largest, &mean, &gelu, &dropout, &flatten})
    EXPECT_EQ(layer->forward(images, context).shape(), layer->output_shape(images.shape()))
        << layer->describe();
}

TEST_P(LayersTest, DropoutOnlyInTraining) {
  const Variable x = input({20, 50});
  Dropout layer(0.5);
  Context evaluating;
  EXPECT_EQ(layer.forward(x, evaluating).value().raw(), x.value().raw());
  Context first{.training = true, .seed = 1, .step = 2}, again = first, later = first;
  later.step = 3;
  const Tensor y = layer.forward(x, first).value();
  EXPECT_EQ(first.random_layer, 1u);
  EXPECT_TRUE(same_bytes(layer.forward(x, again).value(), y));
  EXPECT_FALSE(same_bytes(layer.forward(x, again).value(), y));  // the second layer of the pass
  EXPECT_FALSE(same_bytes(layer.forward(x, later).value(), y));
}

TEST_P(LayersTest, DropoutOfAMicroBatchContinuesTheWholeBatchsMask) {
  const Variable x = input({20, 7});
  Dropout layer(0.5);
  Context whole{.training = true}, part{.training = true};
  part.first_row = 13;
  const Tensor y = layer.forward(x, whole).value();
  const Tensor tail = layer.forward(Variable(x.value().rows(13, 20)), part).value();
  EXPECT_TRUE(same_bytes(tail, y.rows(13, 20)));
}

TEST(Layers, ParametersAndTheirLayouts) {
  Linear linear(12, 5, true, DType::f32, Device::cpu(), {2, 2, 3});
  Conv2d conv(3, 4, 5);
  const auto l = linear.parameters(), c = conv.parameters();
  ASSERT_EQ(l.size(), 2u);
  EXPECT_EQ(l[0].name + " " + l[1].name, "weight bias");
  EXPECT_EQ(l[0].layout, Layout::linear_hwc);
  EXPECT_EQ(c[0].layout, Layout::conv_ohwi);
  EXPECT_EQ(c[0].value.shape(), Shape({4, 5, 5, 3}));
  EXPECT_TRUE(l[0].decay && c[0].decay);
  EXPECT_FALSE(l[1].decay || c[1].decay);
  EXPECT_EQ(parameter_count(linear) + parameter_count(conv), 12 * 5 + 5 + 4 * 5 * 5 * 3 + 4);
  EXPECT_EQ(Linear(3, 4, false).parameters().size(), 1u);
}

TEST(Layers, Descriptions) {
  EXPECT_EQ(Linear(784, 10).describe(), "Linear(784, 10)");
  EXPECT_EQ(Conv2d(3, 4, 5, {2, 1}).describe(), "Conv2d(3, 4, kernel 5, stride 2, padding 1)");
  EXPECT_EQ(MaxPool2d({2, 2, 0}).describe(), "MaxPool2d(kernel 2, stride 2, padding 0)");
  EXPECT_EQ(Dropout(0.25).describe(), "Dropout(0.25)");
  EXPECT_EQ(ActivationLayer(Activation::gelu).describe(), "gelu");
}

TEST(Layers, Rejections) {
  Context context;
  Linear linear(784, 10);
  expect_error(
      [&] {
        linear.forward(Variable(Tensor::zeros({3, 800})), context);
      },
      "Linear(784, 10): input has shape (3,800); expected (N,784)");
  expect_error([&] { linear.forward(Variable(Tensor::zeros({784})), context); }, "(784); expected");
  expect_error([] { Linear(0, 10); }, "Linear: 0 in, 10 out; expected both >= 1");
  expect_error(
      [] {
        Linear(10, 1, true, DType::f32, Device::cpu(), {2, 2, 2});
      },
      "Linear: image (2,2,2) for 10 inputs");
  Conv2d conv(3, 4, 5);
  expect_error(
      [&] {
        conv.forward(Variable(Tensor::zeros({1, 9, 9, 1})), context);
      },
      "input has shape (1,9,9,1); expected (N,H,W,3) with H, W >= 5");
  expect_error([&] { conv.output_shape({1, 9, 4, 3}); }, "expected (N,H,W,3) with H, W >= 5");
  expect_error([] { Conv2d(3, 4, 0); }, "Conv2d: 3 in, 4 out, kernel 0");
  expect_error([] { Conv2d(3, 4, 1, {0, 0}); }, "Conv2d: stride 0, padding 0");
  expect_error([] { MaxPool2d({2, 0, 0}); }, "Pool2d: kernel 2, stride 0, padding 0");
  expect_error([] { AvgPool2d({3, 1, 2}); }, "expected kernel, stride >= 1 and 0 <= padding");
  expect_error(
      [] {
        MaxPool2d({4, 4, 0}).output_shape({1, 3, 9, 1});
      },
      "MaxPool2d(kernel 4, stride 4, padding 0): input has shape (1,3,9,1)");
  expect_error([] { Dropout(1); }, "Dropout: p is 1; expected 0 <= p < 1");
  expect_error([] { Flatten().output_shape({3}); }, "Flatten: input has shape (3)");
}

}  // namespace
}  // namespace limbeck::testing
