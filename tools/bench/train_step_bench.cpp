// SPDX-License-Identifier: Apache-2.0
// Time of one whole training step of four small models, forward, backward and AdamW;
// tools/peers/train_step.py has the same steps in PyTorch.
#include <optional>

#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/core/arena.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

using Layers = std::vector<LayerSpec>;

constexpr std::int64_t kClasses = 10, kVocabulary = 65;

void append(Layers& layers, const Layers& more) {
  layers.insert(layers.end(), more.begin(), more.end());
}

/// A convolution without bias and its batch-norm, named `name` and `name`n.
Layers conv_norm(const std::string& name, std::int64_t out, std::int64_t kernel = 3,
                 std::int64_t stride = 1, const std::string& from = "") {
  LayerSpec conv{.type = "conv2d", .name = name, .out = out, .bias = false, .kernel = kernel};
  conv.stride = stride;
  conv.padding = kernel / 2;
  if (!from.empty()) conv.from = {from};
  return {conv, {.type = "batch_norm", .name = name + "n"}};
}

/// Three convolutions of 32, 64 and 128 channels, each with batch-norm, relu and a halving pool.
ModelSpec small_cnn() {
  ModelSpec spec{.input = {32, 32, 3}, .layers = {}};
  for (const std::int64_t out : {32, 64, 128}) {
    append(spec.layers, conv_norm("conv" + std::to_string(out), out));
    append(spec.layers, {{.type = "relu"}, {.type = "max_pool2d", .kernel = 2}});
  }
  append(spec.layers, {{.type = "adaptive_avg_pool2d"}, {.type = "linear", .out = kClasses}});
  return spec;
}

/// Two convolutions around which the input goes, through one of 1x1 where the shape changes.
Layers residual_block(const std::string& name, const std::string& input, std::int64_t out,
                      std::int64_t stride) {
  Layers layers;
  std::string shortcut = input;
  if (stride > 1) {
    append(layers, conv_norm(name + "s", out, 1, stride, input));
    shortcut = name + "sn";
  }
  append(layers, conv_norm(name + "a", out, 3, stride, input));
  append(layers, {{.type = "relu"}});
  append(layers, conv_norm(name + "b", out));
  append(layers,
         {{.type = "add", .from = {name + "bn", shortcut}}, {.type = "relu", .name = name}});
  return layers;
}

/// He et al. 2016 for CIFAR, with projections.
ModelSpec resnet20() {
  ModelSpec spec{.input = {32, 32, 3}, .layers = conv_norm("stem", 16)};
  append(spec.layers, {{.type = "relu", .name = "stem_out"}});
  std::string before = "stem_out";
  for (std::int64_t block = 0; block < 9; ++block) {
    const std::string name = "block" + std::to_string(block);
    const std::int64_t stage = block / 3;
    append(spec.layers,
           residual_block(name, before, 16 << stage, stage > 0 && block % 3 == 0 ? 2 : 1));
    before = name;
  }
  append(spec.layers, {{.type = "adaptive_avg_pool2d"}, {.type = "linear", .out = kClasses}});
  return spec;
}

LayerSpec embedding(std::int64_t width) {
  return {.type = "embedding", .name = "wte", .options = {{"num", kVocabulary}, {"dim", width}}};
}

ModelSpec lstm(std::int64_t tokens, std::int64_t width) {
  return {.input = {tokens},
          .layers = {embedding(width),
                     {.type = "lstm", .options = {{"hidden", width}}},
                     {.type = "linear", .out = kVocabulary}}};
}

/// One of GPT-2's blocks without dropout: attention and a layer four times as wide, each with a
/// norm before and a way around.
Layers gpt_block(const std::string& name, const std::string& input, std::int64_t width) {
  return {{.type = "layer_norm", .from = {input}},
          {.type = "self_attention",
           .name = name + "att",
           .options = {{"heads", std::int64_t{4}}, {"causal", true}}},
          {.type = "add", .name = name + "mid", .from = {input, name + "att"}},
          {.type = "layer_norm"},
          {.type = "linear", .out = 4 * width},
          {.type = "gelu_tanh"},
          {.type = "linear", .name = name + "mlp", .out = width},
          {.type = "add", .name = name, .from = {name + "mid", name + "mlp"}}};
}

/// GPT-2 with four blocks; the head is the embedding's table.
ModelSpec gpt(std::int64_t tokens, std::int64_t width) {
  ModelSpec spec{.input = {tokens}, .layers = {embedding(width)}};
  append(spec.layers,
         {{.type = "position_embedding", .name = "wpe", .options = {{"num", tokens}}}});
  std::string before = "wpe";
  for (int block = 0; block < 4; ++block) {
    const std::string name = "h" + std::to_string(block);
    append(spec.layers, gpt_block(name, before, width));
    before = name;
  }
  append(spec.layers, {{.type = "layer_norm"},
                       {.type = "tied_linear", .options = {{"to", std::string("wte")}}}});
  return spec;
}

struct Batch {
  Tensor x, labels;
};

/// A model and what trains it on cross-entropy.
class TrainStep {
 public:
  TrainStep(const ModelSpec& spec, Device device)
      : model_(build_model(spec, 1, DType::f32, device)), optimizer_(model_->parameters(), {}) {}

  void operator()(const Batch& batch) {
    std::optional<Arena::Step> in_arena;  // as a run's steps are
    if (!batch.x.device().is_cuda()) in_arena.emplace(arena_);
    optimizer_.zero_grad();
    Context context{.training = true};
    const Variable logits = model_->forward(Variable(batch.x), context);
    const std::int64_t classes = logits.shape()[logits.shape().rank() - 1],
                       rows = batch.labels.numel();
    cross_entropy(reshape(logits, {rows, classes}), batch.labels,
                  {.mean_over = static_cast<double>(rows)})
        .backward();
    optimizer_.step(1e-3);
  }

 private:
  std::unique_ptr<ModelGraph> model_;
  Adamw optimizer_;
  Arena arena_;
};

void bench_images(Bench& bench, const std::string& name, const ModelSpec& spec, std::int64_t B) {
  TrainStep step(spec, bench.device());
  bench.time(
      "train_step/" + name, detail::concat("batch=", B), {},
      [&] {
        return Batch{bench.random({B, 32, 32, 3}), bench.random_index({B}, kClasses)};
      },
      step);
}

void bench_text(Bench& bench, const std::string& name, const ModelSpec& spec, std::int64_t B) {
  TrainStep step(spec, bench.device());
  const std::int64_t T = spec.input[0];
  bench.time(
      "train_step/" + name, detail::concat("batch=", B), {},
      [&] {
        return Batch{bench.random_index({B, T}, kVocabulary),
                     bench.random_index({B * T}, kVocabulary)};
      },
      step);
}

}  // namespace

void bench_train_step(Bench& bench) {
  bench_images(bench, "cnn", small_cnn(), 128);
  bench_images(bench, "resnet20", resnet20(), 128);
  bench_text(bench, "lstm", lstm(64, 128), 64);
  bench_text(bench, "gpt", gpt(128, 128), 16);
}

}  // namespace limbeck
