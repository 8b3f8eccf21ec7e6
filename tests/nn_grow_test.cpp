// SPDX-License-Identifier: Apache-2.0
// Tests of models that grow and stay what they are.
#include <limbeck/nn/grow.h>

#include <limbeck/nn/init.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

using Layers = std::vector<LayerSpec>;

/// Two hidden layers, the second of which may be followed by more.
Layers mlp(std::int64_t hidden, const Layers& more = {}) {
  Layers layers = {{.type = "linear", .name = "fc1", .out = hidden},
                   {.type = "relu", .name = "relu1"},
                   {.type = "linear", .name = "fc2", .out = hidden + 1},
                   {.type = "relu", .name = "relu2"}};
  layers.insert(layers.end(), more.begin(), more.end());
  layers.push_back({.type = "linear", .name = "fc3", .out = 3});
  return layers;
}

Tensor answer(ModelGraph& model, const Tensor& x, bool training = false) {
  const NoGrad no_grad;
  Context context{.training = training};
  return model.forward(Variable(x), context).value();
}

/// Gives every parameter and buffer a value of its own, away from what is the identity.
void shake(ModelGraph& model) {
  std::uint32_t i = 0;
  for (NamedParameter& p : model.parameters())
    if (p.init != InitKind::drawn)
      fill_uniform(p.value.value(), 0.5, {7, 0, i++, RngPurpose::data});
  for (NamedBuffer& b : model.buffers())
    if (b.name.ends_with("running_mean"))
      fill_uniform(b.value, 0.3, {8, 0, i++, RngPurpose::data});
    else if (b.name.ends_with("running_var"))
      b.value.fill(1.7);
}

class GrowTest : public DeviceTest {
 protected:
  std::unique_ptr<ModelGraph> build(const Shape& input, const Layers& layers,
                                    std::uint64_t seed) const {
    return build_model({input, layers}, seed, dtype(), device());
  }
  /// The answers agree within a few roundings of sums over copies: `bits` of tolerance().
  void expect_kept(ModelGraph& small, ModelGraph& big, const Shape& batch, double roundings = 4,
                   const GrowOptions& options = {}, bool training = false) const {
    const Tensor x = make(random_values(batch.numel(), 1, 5), batch);
    grow(small, big, batch, options);
    expect_close(answer(big, x, training), to_doubles(answer(small, x, training)),
                 roundings * tolerance());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(GrowTest);

// Small: 1 input, 2 units, 1 output. Big: a third unit copies unit 0 (adjacent: 0, 0, 1), so w2 of
// unit 0 is halved.
TEST_P(GrowTest, HandNumbers) {
  const auto layers = [](std::int64_t hidden) {
    return Layers{{.type = "linear", .name = "a", .out = hidden},
                  {.type = "relu", .name = "r"},
                  {.type = "linear", .name = "b", .out = 1}};
  };
  const auto small = build({1}, layers(2), 1), big = build({1}, layers(3), 2);
  const std::vector<std::vector<double>> values = {{2, -4}, {0.5, 1}, {8, 16}, {0.25}};
  std::vector<NamedParameter> p = small->parameters(), q = big->parameters();
  for (std::size_t i = 0; i < 4; ++i)
    p[i].value.value().copy_from(make(values[i], p[i].value.shape()));
  grow(*small, *big, {1, 1}, {.copies = UnitCopies::adjacent});
  expect_close(q[0].value.value(), {2, 2, -4}, 0);
  expect_close(q[1].value.value(), {0.5, 0.5, 1}, 0);
  expect_close(q[2].value.value(), {4, 4, 16}, 0);
  expect_close(q[3].value.value(), {0.25}, 0);
  // relu(2 + 0.5) 8 + relu(-4 + 1) 16 + 0.25 = 20.25
  expect_close(answer(*big, make({1}, {1, 1})), {20.25}, 0);
}

TEST_P(GrowTest, AWiderNetworkIsTheSame) {
  for (const UnitCopies copies : {UnitCopies::drawn, UnitCopies::adjacent})
    for (const UnitShares shares : {UnitShares::equal, UnitShares::first}) {
      const auto small = build({5}, mlp(6), 1), big = build({5}, mlp(17), 2);
      expect_kept(*small, *big, {4, 5}, 4, {.seed = 3, .copies = copies, .shares = shares});
    }
}

// 1 x and nothing but zeros besides: no rounding, on any device.
TEST_P(GrowTest, ADeeperNetworkIsTheSameToTheBit) {
  const Layers more = {{.type = "linear", .name = "extra", .out = 7},
                       {.type = "relu", .name = "extra_relu"},
                       {.type = "dropout", .name = "drop", .p = 0.5}};
  const auto small = build({5}, mlp(6), 1), big = build({5}, mlp(6, more), 2);
  grow(*small, *big, {4, 5});
  const Tensor x = make(random_values(20), {4, 5});
  EXPECT_TRUE(same_bytes(answer(*big, x), answer(*small, x)));
}

TEST_P(GrowTest, WiderAndDeeperImages) {
  const auto layers = [](std::int64_t width, bool deeper) {
    Layers list = {
        {.type = "conv2d", .name = "conv1", .out = width, .kernel = 3, .padding = 1},
        {.type = "relu", .name = "relu1"},
        {.type = "max_pool2d", .name = "pool", .kernel = 2},
        {.type = "conv2d", .name = "conv2", .out = 2 * width, .bias = false, .kernel = 3},
        {.type = "batch_norm", .name = "bn"},
        {.type = "relu", .name = "relu2"},
        {.type = "flatten", .name = "flat"},
        {.type = "linear", .name = "fc", .out = 4}};
    if (deeper)
      list.insert(
          list.begin() + 3,
          {LayerSpec{.type = "conv2d", .name = "x", .out = width, .kernel = 3, .padding = 1},
           LayerSpec{.type = "relu", .name = "xr"}});
    return list;
  };
  const auto small = build({6, 6, 2}, layers(3, false), 1);
  shake(*small);
  const auto big = build({6, 6, 2}, layers(8, true), 2);
  expect_kept(*small, *big, {2, 6, 6, 2}, 8);
}

// Every unit twice: the means of a layer norm stay, up to the rounding of longer sums.
TEST_P(GrowTest, WiderTokens) {
  const auto layers = [](std::int64_t width) {
    return Layers{{.type = "embedding", .name = "e", .options = {{"num", 9}, {"dim", width}}},
                  {.type = "position_embedding", .name = "p", .options = {{"num", 5}}},
                  {.type = "layer_norm", .name = "n"},
                  {.type = "linear", .name = "up", .out = 2 * width},
                  {.type = "gelu", .name = "g"},
                  {.type = "linear", .name = "down", .out = width},
                  {.type = "add", .name = "sum", .from = {"down", "n"}},
                  {.type = "rms_norm", .name = "m"},
                  {.type = "mean_tokens", .name = "mean"},
                  {.type = "linear", .name = "head", .out = 3}};
  };
  const auto small = build({5}, layers(4), 1), big = build({5}, layers(8), 2);
  shake(*small);
  grow(*small, *big, {2, 5}, {.copies = UnitCopies::adjacent});
  const Tensor ids =
      Tensor::from(std::vector<std::int32_t>{0, 8, 3, 4, 1, 2, 2, 7, 6, 5}, {2, 5}, device());
  expect_close(answer(*big, ids), to_doubles(answer(*small, ids)), 8 * tolerance());
}

class GrowFilesTest : public GrowTest {
 protected:
  std::unique_ptr<ModelGraph> build_file(const std::string& name, const Shape& input,
                                         const nlohmann::json& variables,
                                         std::uint64_t seed) const {
    const std::string path = std::string(LIMBECK_SOURCE_DIR) + "/tools/configs/models/" + name;
    nlohmann::json file = read_json_file(path);
    file["input"] = {input[0], input[1], input[2]};
    file["variables"].update(variables);
    return build_model(read_model_with_input(file, name), seed, dtype(), device());
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, GrowFilesTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

// Blocks that only the big one has add 0; the others are wider. In training the copies' batch
// statistics are those of what they copy.
TEST_P(GrowFilesTest, ResNetWiderAndDeeper) {
  for (const bool training : {false, true}) {
    const Shape image = {8, 8, 3};
    const auto small = build_file("resnet20.json", image, {{"n", 2}, {"width", 2}}, 1);
    const auto big = build_file("resnet20.json", image, {{"n", 3}, {"width", 5}}, 2);
    shake(*small);
    expect_kept(*small, *big, {2, 8, 8, 3}, 4, {.seed = 4}, training);
  }
}

TEST_P(GrowFilesTest, MobileNetWider) {
  const Shape image = {32, 32, 3};
  const auto small = build_file("mobilenetv2.json", image, {{"width", 1}, {"classes", 4}}, 1);
  const auto big = build_file("mobilenetv2.json", image, {{"width", 2}, {"classes", 4}}, 2);
  shake(*small);
  expect_kept(*small, *big, {1, 32, 32, 3});
}

// The blocks keep their inner layers, so that there is something to learn with.
TEST(Grow, ExtraBlocksAreOnlyZeroAtTheirEnd) {
  const auto layers = [](bool deeper) {
    Layers list = {{.type = "linear", .name = "a", .out = 4}, {.type = "relu", .name = "r"}};
    if (deeper)
      list.insert(list.end(), {LayerSpec{.type = "linear", .name = "x.1", .out = 6},
                               LayerSpec{.type = "tanh", .name = "x.act"},
                               LayerSpec{.type = "linear", .name = "x.2", .out = 4},
                               LayerSpec{.type = "add", .name = "x.sum", .from = {"r", "x.2"}},
                               LayerSpec{.type = "relu", .name = "x.r"}});
    list.push_back({.type = "linear", .name = "b", .out = 2});
    return list;
  };
  const auto small = build_model({{3}, layers(false)}, 1),
             big = build_model({{3}, layers(true)}, 2);
  const Tensor before = big->parameters()[2].value.value().clone();
  grow(*small, *big, {1, 3});
  EXPECT_EQ(big->parameters()[2].name, "x.1.weight");
  EXPECT_TRUE(same_bytes(big->parameters()[2].value.value(), before));
  expect_close(big->parameters()[4].value.value(), std::vector<double>(24, 0), 0);
  const Tensor x = Tensor::from(random_values(6), {2, 3}).to(DType::f32);
  EXPECT_TRUE(same_bytes(answer(*big, x), answer(*small, x)));
}

// One chain of FMAs over the inputs: what the copies add to it is 0 times something.
TEST(Grow, SameBitsWhereTheFirstCopyHasAllOfTheWeight) {
  const auto small = build_model({{5}, mlp(6)}, 1), big = build_model({{5}, mlp(17)}, 2);
  grow(*small, *big, {4, 5}, {.seed = 9, .shares = UnitShares::first});
  const Tensor x = Tensor::from(random_values(20), {4, 5}).to(DType::f32);
  EXPECT_TRUE(same_bytes(answer(*big, x), answer(*small, x)));
}

// Halves and quarters are exact. The chain w/2 h + w/2 h rounds once more than w h, so the sums
// are made exact too: small multiples of 1/8.
TEST(Grow, SameBitsWhereCopiesArePowersOfTwo) {
  for (const std::int64_t times : {2, 4}) {
    const auto layers = [](std::int64_t hidden) {
      return Layers{{.type = "linear", .name = "a", .out = hidden},
                    {.type = "relu", .name = "r"},
                    {.type = "linear", .name = "b", .out = 2}};
    };
    const auto small = build_model({{3}, layers(4)}, 1);
    const auto big = build_model({{3}, layers(4 * times)}, 2);
    for (NamedParameter& p : small->parameters()) {
      std::vector<double> values = random_values(p.value.value().numel(), 40, 3);
      for (double& v : values) v = std::round(v) / 8;
      p.value.value().copy_from(Tensor::from(values, p.value.shape()).to(DType::f32));
    }
    grow(*small, *big, {2, 3}, {.copies = UnitCopies::adjacent});
    const Tensor x = Tensor::from(std::vector<float>{1, -2, 3, 0.5, 4, -1}, {2, 3});
    EXPECT_TRUE(same_bytes(answer(*big, x), answer(*small, x))) << times;
  }
}

/// Most by which the gradients of two copies of a unit differ.
double gradient_difference(const GrowOptions& options) {
  const auto layers = [](std::int64_t hidden) {
    return Layers{{.type = "linear", .name = "a", .out = hidden},
                  {.type = "relu", .name = "r"},
                  {.type = "linear", .name = "b", .out = 2}};
  };
  const auto small = build_model({{3}, layers(4)}, 1, DType::f64);
  const auto big = build_model({{3}, layers(8)}, 2, DType::f64);
  grow(*small, *big, {2, 3}, options);
  Context context;
  const Variable x(Tensor::from(random_values(12), {4, 3}));
  big->forward(x, context).backward(Tensor::full({4, 2}, 1, DType::f64));
  const std::vector<double> a = to_doubles(big->parameters()[0].value.grad());  // (8,3)
  const std::vector<double> b = to_doubles(big->parameters()[2].value.grad());  // (2,8)
  double most = 0;
  for (std::size_t unit = 0; unit < 8; unit += 2) {  // adjacent: it and the next are twins
    for (std::size_t i = 0; i < 3; ++i)
      most = std::max(most, std::abs(a[unit * 3 + i] - a[(unit + 1) * 3 + i]));
    for (std::size_t o = 0; o < 2; ++o)
      most = std::max(most, std::abs(b[o * 8 + unit] - b[o * 8 + unit + 1]));
  }
  return most;
}

TEST(Grow, NoiseTellsCopiesApart) {
  EXPECT_EQ(gradient_difference({.copies = UnitCopies::adjacent}), 0);
  EXPECT_GT(gradient_difference({.copies = UnitCopies::adjacent, .noise = 0.1}), 1e-4);
  EXPECT_GT(gradient_difference({.copies = UnitCopies::adjacent, .shares = UnitShares::first}),
            1e-4);
}

TEST(Grow, NoiseChangesTheFunctionALittle) {
  const auto small = build_model({{5}, mlp(6)}, 1), big = build_model({{5}, mlp(17)}, 2);
  grow(*small, *big, {4, 5}, {.noise = 1e-3});
  const Tensor x = Tensor::from(random_values(20), {4, 5}).to(DType::f32);
  const std::vector<double> a = to_doubles(answer(*small, x)), b = to_doubles(answer(*big, x));
  EXPECT_NE(a, b);
  expect_close(b, a, 1e-2);
}

TEST(Grow, UnitsAreAFunctionOfTheSeed) {
  const UnitMap map = map_units(5, 40, UnitCopies::drawn, 1);
  EXPECT_EQ(map, map_units(5, 40, UnitCopies::drawn, 1));
  EXPECT_NE(map, map_units(5, 40, UnitCopies::drawn, 2));
  for (std::int64_t j = 0; j < 5; ++j) EXPECT_EQ(map.copy_of[static_cast<std::size_t>(j)], j);
  std::vector<double> sum(5, 0);
  const std::vector<double> share = map.shares(UnitShares::equal);
  for (std::size_t j = 0; j < 40; ++j) sum[static_cast<std::size_t>(map.copy_of[j])] += share[j];
  for (const double s : sum) EXPECT_NEAR(s, 1, 1e-15);
  EXPECT_TRUE(map_units(3, 6, UnitCopies::adjacent, 0).is_uniform());
  EXPECT_FALSE(map_units(3, 7, UnitCopies::adjacent, 0).is_uniform());
  EXPECT_TRUE(map_units(7, 7, UnitCopies::drawn, 3).is_identity());
}

void expect_refusal(const Shape& input, const Layers& small_layers, const Layers& big_layers,
                    const std::string& message, const GrowOptions& options = {}) {
  const auto small = build_model({input, small_layers}, 1);
  const auto big = build_model({input, big_layers}, 2);
  const Shape batch =
      input.rank() == 3 ? Shape{1, input[0], input[1], input[2]} : Shape{1, input[0]};
  expect_error([&] { grow(*small, *big, batch, options); }, message);
}

TEST(Grow, RefusesWhatItCannotKeep) {
  const LayerSpec fc = {.type = "linear", .name = "fc", .out = 4};
  const LayerSpec wide = {.type = "linear", .name = "fc", .out = 6};
  const LayerSpec head = {.type = "linear", .name = "head", .out = 2};
  const auto layer = [](const std::string& type, const std::string& name) {
    return LayerSpec{.type = type, .name = name};
  };
  expect_refusal({3}, {wide, head}, {fc, head},
                 "grow: layer 'fc' has 6 channels in the small model and 4 in the big one");
  expect_refusal({3}, {fc, layer("relu", "a"), head}, {fc, layer("gelu", "a"), head},
                 "grow: layer 'a' is relu in the small model and gelu in the big one");
  expect_refusal({3}, {fc, head}, {fc, layer("relu", "new"), head},
                 "grow: layer 'new' (relu) is in the big model only; expected a relu that reads");
  expect_refusal({3}, {fc, head}, {fc, layer("batch_norm", "new"), head},
                 "grow: layer 'new' (BatchNorm(4)) is in the big model only and cannot be the");
  expect_refusal({3}, {fc, head}, {{.type = "linear", .name = "new", .out = 4}, fc, head},
                 "grow: layer 'new' (Linear(3, 4)) is in the big model only and cannot be the");
  expect_refusal({3}, {fc, head}, {fc}, "grow: the big model has no layer 'head'");
  expect_refusal({3}, {fc}, {wide}, "grow: the models give 4 and 6 numbers");
  expect_refusal({3}, {fc, layer("layer_norm", "n"), head}, {wide, layer("layer_norm", "n"), head},
                 "grow: layer 'n' (LayerNorm(6)) is a mean over 4 units of which some");
  expect_refusal({3}, {fc, layer("softmax", "s")}, {wide, layer("softmax", "s")},
                 "grow: layer 's' is Softmax in the small model and Softmax in the big one, and "
                 "reads 4 and 6 channels; such a layer cannot be wider");
  LayerSpec bare = fc;
  bare.bias = false;
  expect_refusal({3}, {fc, head}, {bare, head}, "grow: layer 'fc' has a bias in the small");
  expect_refusal({3}, {fc, {.type = "linear", .name = "b", .out = 4}, head},
                 {fc, {.type = "linear", .name = "b", .out = 4, .from = {"input"}}, head},
                 "grow: layer 'b' reads 'fc' in the small model, and in the big one what stands "
                 "for the input");
  expect_refusal({3}, {fc, head}, {fc, head}, "grow: noise is -1", {.noise = -1});
}

TEST(Grow, RefusesOtherWindows) {
  const auto layers = [](std::int64_t kernel, std::int64_t padding, double eps) {
    return Layers{{.type = "conv2d", .name = "c", .out = 2, .kernel = kernel, .padding = padding},
                  {.type = "batch_norm", .name = "n", .options = {{"eps", eps}}},
                  {.type = "linear", .name = "head", .out = 2}};
  };
  expect_refusal({4, 4, 1}, layers(3, 1, 1e-5), layers(5, 2, 1e-5),
                 "grow: layer 'c' is Conv2d(1, 2, kernel 3, stride 1, padding 1) in the small");
  expect_refusal({4, 4, 1}, layers(3, 1, 1e-5), layers(3, 0, 1e-5),
                 "grow: layer 'c' gives (1,4,4,2) in the small model and (1,2,2,2) in the big one");
  expect_refusal({4, 4, 1}, layers(3, 1, 1e-5), layers(3, 1, 1e-3),
                 "grow: layer 'n' has eps 1e-05 in the small model and 0.001 in the big one");
}

}  // namespace
}  // namespace limbeck::testing
