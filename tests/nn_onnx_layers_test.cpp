// SPDX-License-Identifier: Apache-2.0
// Every layer and option that has an ONNX form, the nodes it becomes, and what has none.
#include <algorithm>

#include <limbeck/nn/layer_types.h>
#include <limbeck/tests/onnx_models.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;
using Sample = std::vector<std::int64_t>;

class OnnxLayersTest : public OnnxTest {
 protected:
  /// `layers` on 3 samples of `run`; trained on those of `sample`.
  void write_layers(const std::string& name, const Sample& sample, const Sample& run,
                    const std::string& layers, std::vector<std::int32_t> lengths = {}) {
    std::vector<std::int64_t> extents = {3};
    extents.insert(extents.end(), run.begin(), run.end());
    const bool tokens = layers.find("\"embedding\"") != std::string::npos;
    write(name, {{"input", sample}, {"layers", json::parse(layers)}},
          {Shape(std::span<const std::int64_t>(extents)), tokens ? 11 : 0, std::move(lengths)});
  }
  /// On images of 6 x 5 with 4 channels.
  void on_images(const std::string& name, const std::string& layers) {
    write_layers(name, {6, 5, 4}, {6, 5, 4}, "[" + layers + "]");
  }
  void on_features(const std::string& name, const std::string& layers) {
    write_layers(name, {4}, {4}, "[" + layers + "]");
  }
  /// After a table of vectors of 4; trained on 5 tokens, run on as many as given.
  void on_tokens(const std::string& name, const std::string& layers, std::int64_t tokens = 3,
                 std::vector<std::int32_t> lengths = {}) {
    write_layers(name, {5}, {tokens},
                 R"([{"type": "embedding", "name": "table", "num": 11, "dim": 4}, )" + layers + "]",
                 std::move(lengths));
  }
};

TEST_F(OnnxLayersTest, Recurrent) {
  const std::pair<std::string, std::string> kinds[] = {
      {"rnn", "RNN"}, {"lstm", "LSTM"}, {"gru", "GRU"}};
  for (const auto& [kind, op] : kinds) {
    const std::string start = R"({"type": ")" + kind + R"(", "hidden": 3)";
    on_tokens(kind, start + "}", 7);
    on_tokens(kind + "_deep", start + R"(, "layers": 2, "bias": false, "dropout": 0.5})");
    on_tokens(kind + "_both", start + R"(, "layers": 2, "bidirectional": true})");
  }
  on_tokens("rnn_relu", R"({"type": "rnn", "hidden": 3, "relu": true})");
  expect_same();
  for (const auto& [kind, op] : kinds) {
    expect_ops(kind, "Gather Transpose " + op + " Squeeze Transpose");
    expect_ops(kind + "_both", "Gather Transpose " + op + " Transpose Reshape " + op +
                                   " Transpose Reshape Transpose");
  }
}

TEST_F(OnnxLayersTest, Attention) {
  const std::string start = R"({"type": "self_attention", "heads": 4)";
  on_tokens("plain", R"({"type": "self_attention", "heads": 2})");
  on_tokens("causal", start + R"(, "causal": true, "dropout": 0.5})", 5);
  on_tokens("grouped", start + R"(, "kv_heads": 2, "head_width": 2, "causal": true})");
  on_tokens("one_key", start + R"(, "kv_heads": 1, "head_width": 3, "scale": 0.3})");
  on_tokens("rotary", start + R"(, "kv_heads": 2, "head_width": 6, "rotary_theta": 100,
                              "qkv_bias": true, "out_bias": false})",
            5);
  on_tokens("no_bias", start + R"(, "bias": false, "causal": true})");
  on_tokens("two", R"({"type": "self_attention", "heads": 2, "causal": true, "rotary_theta": 50},
                      {"type": "self_attention", "heads": 2, "causal": true, "rotary_theta": 50})");
  on_images("of_cells", R"({"type": "image_tokens"}, {"type": "class_token"},
                           {"type": "self_attention", "heads": 2, "causal": true,
                            "rotary_theta": 10})");
  expect_same();
  const std::string heads = "Gather MatMul Add Reshape Split ";
  const std::string attend = "Mul Transpose Transpose Transpose MatMul ";
  const std::string mix = "Softmax MatMul Transpose Reshape MatMul Add";
  expect_ops("plain", heads + attend + mix);
  expect_ops("causal", heads + attend + "Shape Squeeze Range Unsqueeze Less Where " + mix);
  expect_ops("one_key", heads + "Reshape Unsqueeze Unsqueeze " + attend + mix);
}

TEST_F(OnnxLayersTest, Tokens) {
  on_tokens("position", R"({"type": "position_embedding", "num": 6})", 6);
  on_tokens("type", R"({"type": "type_embedding", "num": 2})");
  on_tokens("class", R"({"type": "class_token"}, {"type": "position_embedding", "num": 6})");
  on_tokens("first", R"({"type": "select_token", "position": "first"})");
  on_tokens("last", R"({"type": "select_token", "position": "last"})");
  on_tokens("mean", R"({"type": "mean_tokens"}, {"type": "linear", "out": 2})");
  on_tokens("tied", R"({"type": "tanh"}, {"type": "tied_linear", "to": "table"})");
  on_tokens("padded", R"({"type": "linear", "out": 2, "bias": false}, {"type": "relu"})");
  on_tokens("row", R"({"type": "flatten"}, {"type": "linear", "out": 2})", 5);
  on_images("cells", R"({"type": "image_tokens"}, {"type": "class_token"},
                        {"type": "position_embedding", "num": 31}, {"type": "mean_tokens"})");
  expect_same();
  expect_ops("position", "Gather Shape Squeeze Range Gather Add");
  expect_ops("tied", "Gather Tanh Transpose MatMul");
  expect_ops("cells", "Reshape Transpose Shape Concat Expand Concat Gather Add ReduceMean");
}

TEST_F(OnnxLayersTest, TokensOfDifferentNumbers) {
  const auto padded = [&](const std::string& name, const std::string& layers) {
    on_tokens(name, layers, 6, {6, 1, 4});
  };
  for (const std::string kind : {"rnn", "lstm", "gru"})
    padded(kind, R"({"type": ")" + kind +
                     R"(", "hidden": 3, "layers": 2, "bidirectional": true, "bias": false})");
  padded("attention", R"({"type": "self_attention", "heads": 2},
                         {"type": "self_attention", "heads": 4})");
  padded("grouped", R"({"type": "self_attention", "heads": 4, "kv_heads": 2, "causal": true},
                       {"type": "self_attention", "heads": 4, "causal": true})");
  padded("first", R"({"type": "self_attention", "heads": 2},
                     {"type": "select_token", "position": "first"})");
  padded("last", R"({"type": "select_token", "position": "last"})");
  padded("mean", R"({"type": "mean_tokens"})");
  expect_same();
  expect_ops("last", "Gather Unsqueeze Cast Sub GatherND");
}

TEST_F(OnnxLayersTest, Norms) {
  for (const std::string layer :
       {R"("layer_norm", "eps": 0.1)", R"("layer_norm", "bias": false)",
        R"("rms_norm", "eps": 0.1)", R"("batch_norm", "eps": 0.1)",
        R"("group_norm", "groups": 2, "eps": 0.1)", R"("group_norm", "groups": 4)"}) {
    static int count = 0;
    const std::string name = std::to_string(count++);
    on_images("image_" + name, R"({"type": )" + layer + "}");
    on_tokens("tokens_" + name, R"({"type": )" + layer + "}");
    if (layer.find(": 4") == std::string::npos)  // one channel of one cell is its own mean
      on_features("features_" + name, R"({"type": )" + layer + "}");
  }
  expect_same();
  expect_ops("tokens_0", "Gather LayerNormalization");
  expect_ops("tokens_2", "Gather Mul ReduceMean Add Sqrt Div Mul");
}

TEST_F(OnnxLayersTest, Pointwise) {
  for (const std::string type : {"relu", "gelu", "tanh", "sigmoid", "silu", "gelu_tanh", "relu6",
                                 "hardswish", "softmax", "log_softmax"}) {
    // Values on both sides of every bend.
    on_images(type, R"({"type": "conv2d", "out": 5, "kernel": 1}, {"type": "batch_norm"},
                       {"type": ")" +
                        type + R"("})");
    on_features(type + "_row", R"({"type": ")" + type + R"("})");
  }
  on_features("dropout", R"({"type": "dropout", "p": 0.5}, {"type": "drop_path", "p": 0.5},
                            {"type": "linear", "out": 2})");
  expect_same();
  expect_ops("gelu_row", "Gelu");
  expect_ops("silu_row", "Sigmoid Mul");
}

TEST_F(OnnxLayersTest, Images) {
  on_images("conv", R"({"type": "conv2d", "out": 6, "kernel": 3, "stride": 2, "padding": 2,
                        "dilation": 2, "groups": 2})");
  on_images("transposed", R"({"type": "conv_transpose2d", "out": 6, "kernel": 3, "stride": 2,
                              "padding": 1, "output_padding": 1, "groups": 2},
                             {"type": "adaptive_avg_pool2d", "size": 4})");
  on_images("max", R"({"type": "max_pool2d", "kernel": 3, "stride": 2, "padding": 1})");
  on_images("average", R"({"type": "avg_pool2d", "kernel": 3, "stride": 2, "padding": 1})");
  on_images("global", R"({"type": "adaptive_avg_pool2d"}, {"type": "flatten"})");
  on_images("adaptive", R"({"type": "adaptive_avg_pool2d", "size": 4})");
  on_images("enlarged", R"({"type": "adaptive_avg_pool2d", "size": 7})");
  on_images("shortcut", R"({"type": "pad_shortcut", "out": 7}, {"type": "flatten"},
                           {"type": "linear", "out": 2})");
  on_images("nearest", R"({"type": "upsample", "scale": 3}, {"type": "image_tokens"})");
  on_images("bilinear", R"({"type": "upsample", "mode": "bilinear"})");
  // The columns of a linear layer know the cells that flatten has made a row of.
  on_images("flat", R"({"type": "flatten"}, {"type": "relu"}, {"type": "linear", "out": 2})");
  on_images("linear", R"({"type": "linear", "out": 2})");
  expect_same();
  expect_ops("flat", "Transpose Flatten Relu MatMul Add");
  expect_ops("linear", "Flatten MatMul Add");
}

TEST_F(OnnxLayersTest, Joins) {
  const std::string two = R"({"type": "relu", "name": "a"}, {"type": "tanh", "name": "b", "from":
                             "input"}, )";
  for (const std::string join : {"add", "mul", "concat"}) {
    const std::string layer = R"({"type": ")" + join + R"(", "from": ["a", "b", "input"]})";
    on_images(join, two + layer + R"(, {"type": "conv2d", "out": 2, "kernel": 1})");
    on_features(join + "_row", two + layer);
  }
  on_features("swiglu", two + R"({"type": "swiglu", "from": ["a", "b"]})");
  expect_same();
  expect_ops("swiglu", "Relu Tanh Sigmoid Mul Mul");
}

TEST_F(OnnxLayersTest, WeightsOfOtherDtypes) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f64}) {
    stored_ = dtype;
    on_tokens(std::string(dtype_name(dtype)), R"({"type": "lstm", "hidden": 3},
                                                 {"type": "linear", "out": 2})");
  }
  expect_same();
}

TEST_F(OnnxLayersTest, EveryTypeHasAForm) {
  on_features("any", R"({"type": "relu"})");
  std::string why;
  if (!export_all(why)) GTEST_SKIP() << why;
  for (const LayerType& type : layer_types())
    EXPECT_EQ(std::count(exported_types().begin(), exported_types().end(), type.name), 1)
        << type.name << " has no form in tools/convert/onnx_layers";
}

TEST_F(OnnxLayersTest, RefusesByName) {
  const auto say = [&](const std::string& name, const json& layer) {
    on_features(name, R"({"type": "relu"})");
    const json model = {{"input", {4}}, {"layers", {layer}}};
    write_safetensors(weights_file(name), {{}, {{"model", model.dump()}}});
  };
  say("unknown", {{"type", "spiral"}, {"name", "odd"}});
  on_tokens("idle", R"({"type": "relu"})", 3, {3, 2, 1});
  say("missing", {{"type", "linear"}, {"name", "fc"}, {"out", 2}});
  std::string why;
  if (!export_all(why)) GTEST_SKIP() << why;
  EXPECT_EQ(refusal("unknown"), "layer 'odd' is of type spiral, which has no ONNX form here");
  EXPECT_EQ(refusal("idle"), "the model has no layer to which lengths matter");
  EXPECT_EQ(refusal("missing"), "the file has no weight 'fc.weight', which its model needs");
}

}  // namespace
}  // namespace limbeck::testing
