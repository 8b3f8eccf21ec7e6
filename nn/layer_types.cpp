// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/layer_types.h>

#include <algorithm>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/adaptive_avg_pool2d.h>
#include <limbeck/nn/batch_norm.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/conv_transpose2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/embedding.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/group_norm.h>
#include <limbeck/nn/layer_norm.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/pad_shortcut.h>
#include <limbeck/nn/pool2d.h>
#include <limbeck/nn/recurrent.h>
#include <limbeck/nn/self_attention.h>
#include <limbeck/nn/softmax.h>
#include <limbeck/nn/token_layers.h>
#include <limbeck/nn/token_pool.h>
#include <limbeck/nn/tokens.h>
#include <limbeck/nn/upsample.h>

namespace limbeck {
namespace {

using Made = std::unique_ptr<Module>;
constexpr bool kRequired = true;

std::int64_t channels(const LayerInput& input) { return input.shape[-1]; }

Made make_linear(const LayerOptions& o, const LayerInput& in) {
  const std::int64_t features = in.shape.rank() == 3 ? channels(in) : in.shape.numel();
  const Shape image = in.image.rank() == 3 && in.image.numel() == features ? in.image : Shape{};
  return std::make_unique<Linear>(features, o.integer("out", 0), o.flag("bias", true), in.dtype,
                                  in.device, image);
}

Made make_tied_linear(const LayerOptions&, const LayerInput& in) {
  LIMBECK_CHECK(in.tied.defined(), "nothing to be tied to; expected the name of an earlier layer ",
                "under \"to\"");
  return std::make_unique<Linear>(in.tied);
}

Made make_conv2d(const LayerOptions& o, const LayerInput& in) {
  LIMBECK_CHECK(in.shape.rank() == 4, "input has shape ", in.shape, "; expected (N,H,W,C)");
  Conv2dOptions options;
  options.stride = o.integer("stride", 1);
  options.padding = o.integer("padding", 0);
  options.dilation = o.integer("dilation", 1);
  options.groups = o.integer("groups", 1);
  return std::make_unique<Conv2d>(channels(in), o.integer("out", 0), o.integer("kernel", 0),
                                  options, o.flag("bias", true), in.dtype, in.device);
}

template <class Pool>
Made make_pool2d(const LayerOptions& o, const LayerInput&) {
  const std::int64_t kernel = o.integer("kernel", 0);
  return std::make_unique<Pool>(
      Pool2dOptions{kernel, o.integer("stride", kernel), o.integer("padding", 0)});
}

Made make_conv_transpose2d(const LayerOptions& o, const LayerInput& in) {
  LIMBECK_CHECK(in.shape.rank() == 4, "input has shape ", in.shape, "; expected (N,H,W,C)");
  ConvTranspose2dOptions options;
  options.conv.stride = o.integer("stride", 1);
  options.conv.padding = o.integer("padding", 0);
  options.output_padding = o.integer("output_padding", 0);
  options.conv.groups = o.integer("groups", 1);
  return std::make_unique<ConvTranspose2d>(channels(in), o.integer("out", 0),
                                           o.integer("kernel", 0), options, o.flag("bias", true),
                                           in.dtype, in.device);
}

Made make_adaptive_avg_pool2d(const LayerOptions& o, const LayerInput&) {
  const std::int64_t size = o.integer("size", 1);
  return std::make_unique<AdaptiveAvgPool2d>(size, size);
}

Made make_layer_norm(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<LayerNorm>(channels(in), o.number("eps", 1e-5), o.flag("bias", true),
                                     in.dtype, in.device);
}

Made make_rms_norm(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<RMSNorm>(channels(in), o.number("eps", 1e-6), in.dtype, in.device);
}

Made make_batch_norm(const LayerOptions& o, const LayerInput& in) {
  BatchNormOptions options;
  options.eps = o.number("eps", options.eps);
  options.momentum = o.number("momentum", options.momentum);
  return std::make_unique<BatchNorm>(channels(in), options, in.dtype, in.device);
}

Made make_group_norm(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<GroupNorm>(o.integer("groups", 1), channels(in), o.number("eps", 1e-5),
                                     true, in.dtype, in.device);
}

Made make_upsample(const LayerOptions& o, const LayerInput&) {
  const std::string mode = o.text("mode", "nearest");
  LIMBECK_CHECK(mode == "nearest" || mode == "bilinear", "mode is '", mode,
                "'; expected nearest or bilinear");
  const ScaleRatio scale = {o.integer("scale", 2), 1};
  return std::make_unique<Upsample>(UpsampleOptions{
      mode == "nearest" ? UpsampleMode::nearest : UpsampleMode::bilinear, scale, scale});
}

template <class Cell>
Made make_recurrent(const LayerOptions& o, const LayerInput& in) {
  RecurrentLayerOptions options;
  options.layers = o.integer("layers", 1);
  options.bias = o.flag("bias", true);
  options.bidirectional = o.flag("bidirectional", false);
  options.dropout = o.number("dropout", 0);
  if constexpr (std::is_same_v<Cell, RNN>)
    return std::make_unique<RNN>(channels(in), o.integer("hidden", 0), options,
                                 o.flag("relu", false), in.dtype, in.device);
  else
    return std::make_unique<Cell>(channels(in), o.integer("hidden", 0), options, in.dtype,
                                  in.device);
}

Made make_embedding(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<Embedding>(o.integer("num", 0), o.integer("dim", 0),
                                     o.integer("padding_idx", -1), in.dtype, in.device);
}

Made make_position_embedding(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<PositionEmbedding>(o.integer("num", 0), channels(in), in.dtype,
                                             in.device);
}

Made make_type_embedding(const LayerOptions& o, const LayerInput& in) {
  return std::make_unique<TypeEmbedding>(o.integer("num", 0), channels(in), in.dtype, in.device);
}

Made make_class_token(const LayerOptions&, const LayerInput& in) {
  return std::make_unique<ClassToken>(channels(in), in.dtype, in.device);
}

Made make_select_token(const LayerOptions& o, const LayerInput&) {
  const std::string position = o.text("position", "last");
  LIMBECK_CHECK(position == "first" || position == "last", "position is '", position,
                "'; expected first or last");
  return std::make_unique<SelectToken>(position == "first" ? TokenPool::first : TokenPool::last);
}

Made make_self_attention(const LayerOptions& o, const LayerInput& in) {
  SelfAttentionOptions options;
  options.width = channels(in);
  options.heads = o.integer("heads", 0);
  options.kv_heads = o.integer("kv_heads", 0);
  options.head_width = o.integer("head_width", 0);
  options.qkv_bias = o.flag("qkv_bias", o.flag("bias", true));
  options.out_bias = o.flag("out_bias", o.flag("bias", true));
  options.causal = o.flag("causal", false);
  options.scale = o.number("scale", 0);
  options.rotary_theta = o.number("rotary_theta", 0);
  options.dropout = o.number("dropout", 0);
  return std::make_unique<SelfAttention>(options, in.dtype, in.device);
}

template <class Layer>
Made make_plain(const LayerOptions&, const LayerInput&) {
  return std::make_unique<Layer>();
}

Made make_pad_shortcut(const LayerOptions& o, const LayerInput& in) {
  LIMBECK_CHECK(in.shape.rank() == 4, "input has shape ", in.shape, "; expected (N,H,W,C)");
  return std::make_unique<PadShortcut>(channels(in), o.integer("out", 0), o.integer("stride", 2));
}

template <class Layer>
Made make_dropout(const LayerOptions& o, const LayerInput&) {
  return std::make_unique<Layer>(o.number("p", 0));
}

template <Activation act>
Made make_activation(const LayerOptions&, const LayerInput&) {
  return std::make_unique<ActivationLayer>(act);
}

std::vector<LayerType> table() {
  const LayerKey out = {"out", KeyKind::positive, kRequired};
  const LayerKey bias = {"bias", KeyKind::flag};
  const LayerKey kernel = {"kernel", KeyKind::positive, kRequired};
  const LayerKey stride = {"stride", KeyKind::positive};
  const LayerKey padding = {"padding", KeyKind::natural};
  const LayerKey dilation = {"dilation", KeyKind::positive};
  const LayerKey groups = {"groups", KeyKind::positive};
  const LayerKey eps = {"eps", KeyKind::number};
  const LayerKey p = {"p", KeyKind::number, kRequired};
  const LayerKey num = {"num", KeyKind::positive, kRequired};
  const std::vector<LayerKey> recurrent = {{"hidden", KeyKind::positive, kRequired},
                                           {"layers", KeyKind::positive},
                                           bias,
                                           {"bidirectional", KeyKind::flag},
                                           {"dropout", KeyKind::number}};
  const auto with = [](std::vector<LayerKey> keys, const LayerKey& more) {
    keys.push_back(more);
    return keys;
  };
  return {
      {"linear", {out, bias}, make_linear},
      {"conv2d", {out, kernel, stride, padding, dilation, groups, bias}, make_conv2d},
      {"relu", {}, make_activation<Activation::relu>},
      {"gelu", {}, make_activation<Activation::gelu>},
      {"tanh", {}, make_activation<Activation::tanh>},
      {"sigmoid", {}, make_activation<Activation::sigmoid>},
      {"silu", {}, make_activation<Activation::silu>},
      {"gelu_tanh", {}, make_activation<Activation::gelu_tanh>},
      {"relu6", {}, make_activation<Activation::relu6>},
      {"hardswish", {}, make_activation<Activation::hardswish>},
      {"dropout", {p}, make_dropout<Dropout>},
      {"drop_path", {p}, make_dropout<DropPath>},
      {"max_pool2d", {kernel, stride, padding}, make_pool2d<MaxPool2d>},
      {"avg_pool2d", {kernel, stride, padding}, make_pool2d<AvgPool2d>},
      {"adaptive_avg_pool2d", {{"size", KeyKind::positive}}, make_adaptive_avg_pool2d},
      {"flatten", {}, make_plain<Flatten>},
      {"softmax", {}, make_plain<Softmax>},
      {"log_softmax", {}, make_plain<LogSoftmax>},
      {"conv_transpose2d",
       {out, kernel, stride, padding, {"output_padding", KeyKind::natural}, groups, bias},
       make_conv_transpose2d},
      {"layer_norm", {eps, bias}, make_layer_norm},
      {"rms_norm", {eps}, make_rms_norm},
      {"batch_norm", {eps, {"momentum", KeyKind::number}}, make_batch_norm},
      {"group_norm", {{"groups", KeyKind::positive, kRequired}, eps}, make_group_norm},
      {"pad_shortcut", {out, stride}, make_pad_shortcut},
      {"upsample", {{"scale", KeyKind::positive}, {"mode", KeyKind::text}}, make_upsample},
      {"rnn", with(recurrent, {"relu", KeyKind::flag}), make_recurrent<RNN>},
      {"lstm", recurrent, make_recurrent<LSTM>},
      {"gru", recurrent, make_recurrent<GRU>},
      {"embedding",
       {num, {"dim", KeyKind::positive, kRequired}, {"padding_idx", KeyKind::natural}},
       make_embedding},
      {"position_embedding", {num}, make_position_embedding},
      {"type_embedding", {num}, make_type_embedding},
      {"class_token", {}, make_class_token},
      {"select_token", {{"position", KeyKind::text, kRequired}}, make_select_token},
      {"mean_tokens", {}, make_plain<MeanTokens>},
      {"image_tokens", {}, make_plain<ImageTokens>},
      {"self_attention",
       {{"heads", KeyKind::positive, kRequired},
        {"kv_heads", KeyKind::positive},
        {"head_width", KeyKind::positive},
        bias,
        {"qkv_bias", KeyKind::flag},
        {"out_bias", KeyKind::flag},
        {"causal", KeyKind::flag},
        {"scale", KeyKind::number},
        {"rotary_theta", KeyKind::number},
        {"dropout", KeyKind::number}},
       make_self_attention},
      {"tied_linear", {{"to", KeyKind::text, kRequired}}, make_tied_linear},
      {"add", {}, nullptr, Join::add},
      {"mul", {}, nullptr, Join::mul},
      {"concat", {}, nullptr, Join::concat},
      {"swiglu", {}, nullptr, Join::swiglu},
  };
}

}  // namespace

const std::vector<LayerType>& layer_types() {
  static const std::vector<LayerType> types = table();
  return types;
}

const LayerType* find_layer_type(std::string_view name) {
  const auto& types = layer_types();
  const auto found = std::find_if(types.begin(), types.end(),
                                  [&](const LayerType& type) { return type.name == name; });
  return found == types.end() ? nullptr : &*found;
}

}  // namespace limbeck
