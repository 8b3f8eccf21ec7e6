// SPDX-License-Identifier: Apache-2.0
// Every type of layer computes the same bits, forward and backward, for any number of threads and
// any instruction set. A new type needs an example here.
#include <map>

#include <limbeck/nn/layer_types.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

/// What a layer is tried on: rows of 40 numbers, images of 14 x 15 cells and 8 channels, or
/// sequences of 17 tokens that an embedding makes 24 wide.
enum class On { rows, images, sequences, tokens };

struct Example {
  On on = On::rows;
  LayerOptions options = {};
};

constexpr std::int64_t k2 = 2, k3 = 3, k4 = 4, k12 = 12, k50 = 50;

const std::map<std::string, Example>& examples() {
  static const std::map<std::string, Example> all = {
      {"linear", {On::rows, {{"out", k50}}}},
      {"tied_linear", {On::sequences, {{"to", std::string("before")}}}},
      {"conv2d", {On::images, {{"out", k12}, {"kernel", k3}, {"padding", k2}, {"groups", k2}}}},
      {"conv_transpose2d", {On::images, {{"out", k4}, {"kernel", k3}, {"stride", k2}}}},
      {"max_pool2d", {On::images, {{"kernel", k3}, {"stride", k2}}}},
      {"avg_pool2d", {On::images, {{"kernel", k2}}}},
      {"adaptive_avg_pool2d", {On::images, {{"size", k4}}}},
      {"pad_shortcut", {On::images, {{"out", k12}}}},
      {"upsample", {On::images, {{"mode", std::string("bilinear")}}}},
      {"batch_norm", {On::images, {}}},
      {"group_norm", {On::images, {{"groups", k2}}}},
      {"flatten", {On::images, {}}},
      {"image_tokens", {On::images, {}}},
      {"dropout", {On::rows, {{"p", 0.3}}}},
      {"drop_path", {On::rows, {{"p", 0.3}}}},
      {"rnn", {On::sequences, {{"hidden", k12}}}},
      {"lstm", {On::sequences, {{"hidden", k12}, {"bidirectional", true}}}},
      {"gru", {On::sequences, {{"hidden", k12}, {"layers", k2}}}},
      {"embedding", {On::tokens, {{"num", k50}, {"dim", k12}}}},
      {"position_embedding", {On::sequences, {{"num", k50}}}},
      {"type_embedding", {On::sequences, {{"num", k2}}}},
      {"class_token", {On::sequences, {}}},
      {"select_token", {On::sequences, {{"position", std::string("last")}}}},
      {"mean_tokens", {On::sequences, {}}},
      {"self_attention", {On::sequences, {{"heads", k4}, {"causal", true}, {"dropout", 0.1}}}},
  };
  return all;
}

/// Anything else takes rows and needs no option.
Example example_of(const std::string& type) {
  const auto found = examples().find(type);
  return found == examples().end() ? Example{} : found->second;
}

/// The layer behind one with weights, so that a gradient flows through it into those.
ModelSpec model_of(const LayerType& type) {
  const Example example = example_of(std::string(type.name));
  LayerSpec before, layer;
  before.name = "before";
  before.type = "linear";
  before.out = 40;
  ModelSpec spec = {{40}, {}};
  if (example.on == On::images) {
    spec.input = {14, 15, 8};
    before = {.type = "conv2d", .name = "before", .out = 8, .kernel = 1};
  }
  if (example.on == On::sequences || example.on == On::tokens) {
    spec.input = {17};
    before = {.type = "embedding",
              .name = "before",
              .options = {{"num", k50}, {"dim", std::int64_t{24}}}};
  }
  layer.type = type.name;
  layer.options = example.options;
  if (example.on != On::tokens) spec.layers.push_back(before);
  if (type.join && example.on == On::rows) layer.from = {"before", "input"};
  spec.layers.push_back(layer);
  return spec;
}

Variable input_of(const ModelSpec& spec, std::int64_t batch) {
  const Shape& in = spec.input;
  if (in.rank() == 1 && in[0] == 17) {
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < batch * 17; ++i)
      ids.push_back(static_cast<std::int32_t>(i * i % 50));
    return Variable(Tensor::from(ids, {batch, 17}));
  }
  const Shape shape = in.rank() == 1 ? Shape{batch, in[0]} : Shape{batch, in[0], in[1], in[2]};
  return Variable(Tensor::from(random_values(shape.numel()), shape).to(DType::f32), true);
}

class LayerBits : public ::testing::TestWithParam<std::string> {};
std::vector<std::string> type_names() {
  std::vector<std::string> names;
  for (const LayerType& type : layer_types()) names.emplace_back(type.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Types, LayerBits, ::testing::ValuesIn(type_names()),
                         [](const auto& type) { return type.param; });

// Enough rows, images and sequences that every op's work is cut into several pieces.
TEST_P(LayerBits, SameForThreadsAndInstructionSets) {
  const ModelSpec spec = model_of(*find_layer_type(GetParam()));
  const std::int64_t batch = spec.input == Shape{40} ? 850 : spec.input.rank() == 3 ? 21 : 85;
  expect_same_bits([&] {
    const auto model = build_model(spec, 1);
    const Variable x = input_of(spec, batch);
    Context context{.training = true, .seed = 3, .step = 4};
    const Variable y = model->forward(x, context);
    y.backward(Tensor::from(random_values(y.shape().numel(), 1, 2), y.shape()).to(DType::f32));
    std::vector<Tensor> found;
    found.push_back(y.value());
    if (x.requires_grad()) found.push_back(x.grad());
    for (const NamedParameter& p : model->parameters())
      if (p.value.grad().defined()) found.push_back(p.value.grad());
    for (const NamedBuffer& b : model->buffers()) found.push_back(b.value);
    EXPECT_GE(found.size(), 2u);
    return found;
  });
}

}  // namespace
}  // namespace limbeck::testing
