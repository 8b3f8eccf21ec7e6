// SPDX-License-Identifier: Apache-2.0
// Blocks of a model that are computed again in backward: the same bits, names and taps.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/tests/same_bits.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

/// Two residual blocks with a norm that moves statistics and a dropout, each followed by an
/// activation, which fuses with the linear layer before it where nothing stands in between.
json residual(bool recompute) {
  json model = json::parse(R"({"input": [6], "layers": [
    {"type": "linear", "name": "first", "out": 8},
    {"name": "blocks.${i}", "repeat": 2, "layers": [
      {"type": "relu", "name": "act1"},
      {"type": "batch_norm", "name": "bn"},
      {"type": "linear", "name": "fc", "out": 8},
      {"type": "gelu", "name": "act2"},
      {"type": "dropout", "name": "drop", "p": 0.4},
      {"type": "add", "name": "sum", "from": ["drop", "input"]},
      {"type": "linear", "name": "out", "out": 8}
    ]},
    {"type": "relu", "name": "last"}
  ]})");
  if (recompute) model["layers"][1]["recompute"] = true;
  return model;
}

std::unique_ptr<ModelGraph> built(const json& model, DType dtype, Device device) {
  return build_model(read_model_with_input(model, "m"), 1, dtype, device);
}

class ModelRecomputeTest : public DeviceTest {
 protected:
  /// Output, gradients and statistics of a training pass that shows the given layers.
  std::vector<Tensor> pass(bool recompute, const std::string& taps = "none") const {
    const auto model = built(residual(recompute), dtype(), device());
    const Variable x(make(random_values(5 * 6), {5, 6}), true);
    Context context{.training = true, .seed = 3, .step = 2};
    std::vector<Tensor> found;
    std::vector<std::size_t> shown;
    if (taps != "none") shown = model->find(taps);
    const Variable y = model->forward(x, context, shown, [&](std::size_t, const Variable& value) {
      found.push_back(value.value());
    });
    EXPECT_EQ(found.size(), shown.size());
    EXPECT_EQ(context.random_layer, 2u);
    sum(mul(y, y)).backward();
    found.push_back(y.value());
    found.push_back(x.grad());
    for (const NamedParameter& p : model->parameters()) found.push_back(p.value.grad());
    for (const NamedBuffer& b : model->buffers()) found.push_back(b.value);
    return found;
  }
  void expect_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) const {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bytes(a[i], b[i])) << i;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ModelRecomputeTest);

TEST_P(ModelRecomputeTest, SameBitsAsWithout) { expect_same(pass(true), pass(false)); }

TEST_P(ModelRecomputeTest, TapsSeeWhatIsThereInAndAfterABlock) {
  for (const char* taps : {"blocks.1.fc", "blocks.0.act2|blocks.1.out", "first|last"})
    expect_same(pass(true, taps), pass(false, taps));
}

TEST(ModelRecompute, ABlockRunsAgainOnlyForAGradient) {
  struct Witness : Module {
    int& runs;
    explicit Witness(int& count) : runs(count) {}
    Variable forward(const Variable& x, Context&) override {
      ++runs;
      return scale(x, 2);
    }
    Shape output_shape(const Shape& input) const override { return input; }
    std::string describe() const override { return "Witness"; }
  };
  int runs = 0;
  auto model = std::make_unique<ModelGraph>();
  model->add(std::make_unique<Witness>(runs), "a");
  model->add(Join::add, {"a", "input"}, "b");
  model->recompute(0, 2);
  Context context{.training = true};
  const Variable x(Tensor::full({1}, 3), true);
  const Variable y = model->forward(x, context);
  EXPECT_EQ(runs, 1);
  model.reset();  // the graph of y keeps what it needs
  y.backward();
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(y.value().item(), 9);
  EXPECT_EQ(x.grad().item(), 3);
}

TEST(ModelRecompute, TheWrittenFormBuildsTheSame) {
  const ModelSpec spec = read_model_with_input(residual(true), "m");
  EXPECT_EQ(spec.recompute, (std::vector<std::pair<std::size_t, std::size_t>>{{1, 8}, {8, 15}}));
  const json flat = write_model(spec);
  EXPECT_EQ(flat["layers"].size(), 4u);
  const ModelSpec again = read_model_with_input(flat, "m");
  EXPECT_EQ(again.recompute, spec.recompute);
  EXPECT_EQ(write_model(again), flat);
  const auto a = build_model(spec, 1), b = build_model(again, 1);
  ASSERT_EQ(a->size(), b->size());
  for (std::size_t i = 0; i < a->size(); ++i) {
    EXPECT_EQ(a->name(i), b->name(i));
    EXPECT_EQ(a->inputs(i), b->inputs(i)) << a->name(i);
  }
}

TEST(ModelRecompute, Rejections) {
  const auto refuses = [](const char* layers, const char* part) {
    const json model = {{"input", {4}}, {"layers", json::parse(layers)}};
    expect_error([&] { built(model, DType::f32, Device::cpu()); }, part);
  };
  refuses(R"([{"type": "relu", "name": "a"}, {"type": "relu", "name": "b"},
              {"recompute": true, "layers": [{"type": "add", "name": "c", "from": ["a", "b"]}]}])",
          "layer 'c' is computed again and reads 'a'; expected a layer that is too, or the one");
  refuses(R"([{"recompute": true, "layers": [{"type": "relu", "name": "a"}, {"type": "relu"}]},
              {"type": "relu", "name": "d", "from": "a"}])",
          "layer 'd' reads 'a', which is computed again; expected to read only the last such");
  refuses(R"([{"recompute": true, "layers": [{"recompute": true, "layers": []}]}])",
          "m.layers.0.layers.0.recompute: a group around this one is computed again already");
  ModelGraph model;
  model.add(Join::add, {"input", "input"}, "a");
  expect_error([&] { model.recompute(0, 2); }, "nodes 0 to 2 of 1 are to be computed again");
  model.recompute(0, 1);
  expect_error([&] { model.recompute(0, 1); }, "layer 'a' is to be computed again twice");
}

}  // namespace
}  // namespace limbeck::testing
