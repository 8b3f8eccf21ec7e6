// SPDX-License-Identifier: Apache-2.0
// Attention and its layer against PyTorch's, with the options of the transformers people use.
#include <limbeck/nn/self_attention.h>

#include <limbeck/autograd/attention.h>
#include <limbeck/nn/layer_types.h>
#include <limbeck/nn/name_map.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class SelfAttentionTest : public DeviceTest {
 protected:
  void expect_layer_parity(const std::string& name, const SelfAttentionOptions& options,
                           const Context& context = {}) const {
    SCOPED_TRACE(name);
    SelfAttention layer(options, dtype(), device());
    expect_parity(layer, Fixture("self_attention", name), device(), dtype(), context);
  }
  // q, k and v have rank 4 but are no images.
  void expect_sdpa_parity(const std::string& name, const AttentionOptions& options) const {
    const Fixture fixture("self_attention", name);
    const auto enter = [&](const char* key) { return fixture[key].to(dtype()).to(device()); };
    const Variable q(enter("x0"), true), k(enter("x1"), true), v(enter("x2"), true);
    const Variable y = attention(q, k, v, {}, options);
    expect_close(y.value(), to_doubles(fixture["y"]), 1e-5, name);
    y.backward(enter("dy"));
    expect_close(q.grad(), to_doubles(fixture["dx0"]), 1e-4, name + " dq");
    expect_close(k.grad(), to_doubles(fixture["dx1"]), 1e-4, name + " dk");
    expect_close(v.grad(), to_doubles(fixture["dx2"]), 1e-4, name + " dv");
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(SelfAttentionTest);

TEST_P(SelfAttentionTest, AttentionAgreesWithPyTorch) {
  expect_sdpa_parity("sdpa", {});
  expect_sdpa_parity("sdpa_grouped", {.scale = 0.7, .causal = true});
}

TEST_P(SelfAttentionTest, AgreesWithPyTorchAndTransformers) {
  expect_layer_parity("torch", {.width = 8, .heads = 2});
  expect_layer_parity("gpt2", {.width = 8, .heads = 2, .causal = true});
  expect_layer_parity("llama", {.width = 8,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_width = 4,
                                .qkv_bias = false,
                                .out_bias = false,
                                .causal = true,
                                .rotary_theta = 100});
  expect_layer_parity("vit", {.width = 8, .heads = 2});
  Context padded;
  padded.lengths = Tensor::from(std::vector<std::int32_t>{5, 3}, {2}).to(device());
  expect_layer_parity("bert", {.width = 8, .heads = 2}, padded);
}

TEST_P(SelfAttentionTest, ALongerSequenceNeedsMorePositionsAndAShorterOneTheFirst) {
  SelfAttention layer({.width = 4, .heads = 1, .causal = true, .rotary_theta = 10}, dtype(),
                      device());
  for (const NamedParameter& p : layer.parameters()) {
    Variable value = p.value;
    value.value().copy_from(make(random_values(p.value.shape().numel()), p.value.shape()));
  }
  Context context;
  const std::vector<double> tokens = random_values(7 * 4);
  const auto run = [&](std::int64_t T) {
    const Variable x(make({tokens.begin(), tokens.begin() + T * 4}, {1, T, 4}));
    return to_doubles(layer.forward(x, context).value());
  };
  const std::vector<double> two = run(2), seven = run(7);
  EXPECT_EQ(run(2), two);
  // What comes later is not seen: the first two tokens are the same.
  expect_close(two, {seven.begin(), seven.begin() + 8}, tolerance());
}

TEST_P(SelfAttentionTest, DropoutIsOfTrainingAndOfTheWholeBatch) {
  SelfAttention layer({.width = 4, .heads = 2, .dropout = 0.5}, dtype(), device());
  SelfAttention without({.width = 4, .heads = 2}, dtype(), device());
  for (SelfAttention* one : {&layer, &without})
    for (const NamedParameter& p : one->parameters()) {
      Variable value = p.value;
      value.value().copy_from(make(random_values(p.value.shape().numel()), p.value.shape()));
    }
  const Variable x(make(random_values(3 * 5 * 4), {3, 5, 4}));
  Context evaluating, first{.training = true, .seed = 1}, again = first, part = first;
  EXPECT_TRUE(
      same_bytes(layer.forward(x, evaluating).value(), without.forward(x, evaluating).value()));
  EXPECT_EQ(evaluating.random_layer, 0u);
  const Tensor y = layer.forward(x, first).value();
  EXPECT_EQ(first.random_layer, 1u);
  EXPECT_FALSE(same_bytes(y, without.forward(x, first).value()));
  EXPECT_TRUE(same_bytes(layer.forward(x, again).value(), y));
  EXPECT_FALSE(same_bytes(layer.forward(x, again).value(), y));  // the second layer of the pass
  part.first_row = 1;
  EXPECT_TRUE(
      same_bytes(layer.forward(Variable(x.value().rows(1, 3)), part).value(), y.rows(1, 3)));
}

TEST(SelfAttention, SeparateProjectionsArePartsOfOne) {
  const Fixture fixture("self_attention", "llama");
  const Tensor& whole = fixture["w.qkv.weight"];  // 4 heads and 2 + 2 of keys and values, 4 wide
  SafetensorsFile file;
  file.tensors = {{"self_attn.v_proj.weight", whole.rows(24, 32)},
                  {"self_attn.k_proj.weight", whole.rows(16, 24)},
                  {"self_attn.q_proj.weight", whole.rows(0, 16)},
                  {"self_attn.o_proj.weight", fixture["w.out.weight"]}};
  const std::vector<NameRule> rules = {
      {.match = "(.*)self_attn\\.q_proj\\.(.*)", .to = "$1qkv.$2", .part = 0},
      {.match = "(.*)self_attn\\.k_proj\\.(.*)", .to = "$1qkv.$2", .part = 1},
      {.match = "(.*)self_attn\\.v_proj\\.(.*)", .to = "$1qkv.$2", .part = 2},
      {.match = "(.*)self_attn\\.o_proj\\.(.*)", .to = "$1out.$2"}};
  SelfAttention layer({.width = 8,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_width = 4,
                       .qkv_bias = false,
                       .out_bias = false});
  import_weights(layer, rename_weights(file, rules));
  EXPECT_TRUE(same_bytes(layer.parameters()[0].value.value(), whole));
  EXPECT_TRUE(same_bytes(layer.parameters()[1].value.value(), fixture["w.out.weight"]));
}

TEST(SelfAttention, DescribesItself) {
  SelfAttention layer({.width = 8, .heads = 4, .kv_heads = 2, .causal = true, .rotary_theta = 10});
  EXPECT_EQ(layer.describe(), "SelfAttention(8, 4 heads, 2 of keys, causal, rotary)");
  std::string names;
  for (const NamedParameter& p : layer.parameters()) names += p.name + p.value.shape().str() + " ";
  EXPECT_EQ(names, "qkv.weight(16,8) qkv.bias(16) out.weight(8,8) out.bias(8) ");
  EXPECT_EQ(layer.output_shape({2, 3, 8}), (Shape{2, 3, 8}));
}

TEST(SelfAttention, IsALayerOfDescriptions) {
  const LayerOptions options = {{"heads", std::int64_t{4}},
                                {"kv_heads", std::int64_t{2}},
                                {"bias", false},
                                {"out_bias", true},
                                {"causal", true},
                                {"rotary_theta", 10.0}};
  const auto layer =
      find_layer_type("self_attention")->make(options, {.shape = {1, 5, 8}, .image = {}});
  EXPECT_EQ(layer->describe(), "SelfAttention(8, 4 heads, 2 of keys, causal, rotary)");
  std::string names;
  for (const NamedParameter& p : layer->parameters()) names += p.name + " ";
  EXPECT_EQ(names, "qkv.weight out.weight out.bias ");
}

TEST(SelfAttention, Rejections) {
  expect_error([] { SelfAttention layer({.width = 8}); }, "SelfAttention: width 8, 0 heads");
  expect_error([] { SelfAttention layer({.width = 8, .heads = 4, .kv_heads = 3}); },
               "SelfAttention: 4 heads, 3 of keys; expected a divisor");
  expect_error([] { SelfAttention layer({.width = 8, .heads = 2, .dropout = 1}); },
               "SelfAttention: dropout is 1; expected 0 <= dropout < 1");
  expect_error([] { SelfAttention layer({.width = 8, .heads = 3}); },
               "SelfAttention: width 8, 3 heads 0 wide; expected heads that divide the width");
  expect_error([] { SelfAttention layer({.width = 6, .heads = 2, .rotary_theta = 10}); },
               "SelfAttention: rotary_theta 10 of heads 3 wide");
  SelfAttention layer({.width = 8, .heads = 2});
  expect_error(
      [&] {
        layer.output_shape({2, 8});
      },
      "SelfAttention(8, 2 heads): input has shape (2,8); expected (N,T,8)");
}

}  // namespace
}  // namespace limbeck::testing
