// SPDX-License-Identifier: Apache-2.0
// Tests of building models from a plain description.
#include <limbeck/nn/model.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

LayerSpec linear(std::int64_t out, const std::string& name = "") {
  return {.type = "linear", .name = name, .out = out};
}

/// A small convolutional network on 8x8 images of 3 channels.
ModelSpec conv_net() {
  return {{8, 8, 3},
          {{.type = "conv2d", .name = "conv1", .out = 4, .kernel = 3, .padding = 1},
           {.type = "relu"},
           {.type = "max_pool2d", .kernel = 2},
           {.type = "avg_pool2d", .kernel = 3, .stride = 1, .padding = 1},
           {.type = "flatten"},
           {.type = "dropout", .p = 0.5},
           linear(10, "fc1"),
           {.type = "tanh"},
           linear(5, "fc2")}};
}

class ModelTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ModelTest);

TEST_P(ModelTest, AConvolutionalNetworkRunsBothWays) {
  const auto model = build_model(conv_net(), 1, dtype(), device());
  EXPECT_EQ(model->output_shape({2, 8, 8, 3}), Shape({2, 5}));
  EXPECT_EQ(parameter_count(*model), (4 * 27 + 4) + (10 * 4 * 4 * 4 + 10) + (5 * 10 + 5));
  Context context{.training = true};
  const Variable y = model->forward(Variable(make(random_values(2 * 192), {2, 8, 8, 3})), context);
  EXPECT_EQ(y.shape(), Shape({2, 5}));
  y.backward(make(random_values(10), {2, 5}));
  for (const NamedParameter& p : model->parameters())
    EXPECT_TRUE(p.value.grad().defined()) << p.name;
}

// Four times the tolerance: three layers with sums of a few dozen products each.
TEST_P(ModelTest, WeightsAreTheSameOnEveryDeviceAndSoAreTheAnswers) {
  const auto here = build_model(conv_net(), 5, dtype(), device());
  const auto there = build_model(conv_net(), 5, dtype());
  const auto a = here->parameters(), b = there->parameters();
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(same_bytes(a[i].value.value(), b[i].value.value())) << a[i].name;
  const Tensor x = make(random_values(2 * 192), {2, 8, 8, 3});
  Context context;
  expect_close(here->forward(Variable(x), context).value(),
               to_doubles(there->forward(Variable(x.to(Device::cpu())), context).value()),
               4 * tolerance());
}

TEST(Model, NamesAndLayoutsFollowTheLayers) {
  const auto parameters = build_model(conv_net(), 1)->parameters();
  ASSERT_EQ(parameters.size(), 6u);
  EXPECT_EQ(parameters[0].name, "conv1.weight");
  EXPECT_EQ(parameters[0].layout, Layout::conv_ohwi);
  EXPECT_EQ(parameters[2].name, "fc1.weight");
  EXPECT_EQ(parameters[2].layout, Layout::linear_hwc);
  EXPECT_EQ(parameters[2].image, Shape({4, 4, 4}));
  EXPECT_EQ(parameters[4].layout, Layout::plain);
}

TEST(Model, UnnamedLayersAreNumberedAsInPyTorch) {
  const auto parameters =
      build_model({{4}, {linear(3), {.type = "relu"}, linear(2)}}, 1)->parameters();
  EXPECT_EQ(parameters[0].name, "0.weight");
  EXPECT_EQ(parameters[3].name, "2.bias");
}

TEST(Model, ALinearLayerFlattensAnImage) {
  const auto model = build_model({{2, 2, 3}, {linear(4)}}, 1);
  EXPECT_EQ(model->output_shape({7, 2, 2, 3}), Shape({7, 4}));
  EXPECT_EQ(model->parameters()[0].layout, Layout::linear_hwc);
}

TEST(Model, SeedsDecideTheWeights) {
  const auto weights = [](std::uint64_t seed) {
    return to_doubles(build_model({{4}, {linear(3)}}, seed)->parameters()[0].value.value());
  };
  EXPECT_EQ(weights(1), weights(1));
  EXPECT_NE(weights(1), weights(2));
}

TEST(Model, RejectionsNameTheLayer) {
  const auto expect_rejected = [](const Shape& input, const std::vector<LayerSpec>& layers,
                                  const std::string& part) {
    expect_error([&] { build_model({input, layers}, 1); }, part);
  };
  expect_rejected({2, 2}, {}, "build_model: input (2,2); expected one sample's shape");
  expect_rejected({4}, {{.type = "lienar", .name = "fc"}},
                  "build_model: layer 0 'fc' (lienar): unknown type; expected linear, conv2d,");
  expect_rejected({4}, {linear(2), linear(0)},
                  "build_model: layer 1 (linear): Linear: 2 in, 0 out; expected both >= 1");
  expect_rejected({4}, {{.type = "conv2d", .out = 2, .kernel = 3}},
                  "layer 0 (conv2d): input has shape (1,4); expected (N,H,W,C)");
  expect_rejected({4, 4, 1}, {{.type = "conv2d", .out = 2, .kernel = 5}},
                  "input has shape (1,4,4,1); expected (N,H,W,1) with H, W >= 5");
  expect_rejected({4, 4, 1}, {{.type = "max_pool2d"}}, "layer 0 (max_pool2d): Pool2d: kernel 0");
  expect_rejected({4}, {{.type = "dropout", .p = 1}}, "layer 0 (dropout): Dropout: p is 1");
  expect_rejected({4}, {linear(2, "a"), linear(2, "a")}, "two layers are named 'a'");
}

}  // namespace
}  // namespace limbeck::testing
