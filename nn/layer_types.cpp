// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/layer_types.h>

#include <algorithm>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/adaptive_avg_pool2d.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/conv_transpose2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/layer_norm.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/pool2d.h>
#include <limbeck/nn/self_attention.h>

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

Made make_dropout(const LayerOptions& o, const LayerInput&) {
  return std::make_unique<Dropout>(o.number("p", 0));
}

Made make_self_attention(const LayerOptions& o, const LayerInput& in) {
  const bool bias = o.flag("bias", true);
  return std::make_unique<SelfAttention>(
      SelfAttentionOptions{.width = channels(in),
                           .heads = o.integer("heads", 0),
                           .kv_heads = o.integer("kv_heads", 0),
                           .head_width = o.integer("head_width", 0),
                           .qkv_bias = o.flag("qkv_bias", bias),
                           .out_bias = o.flag("out_bias", bias),
                           .causal = o.flag("causal", false),
                           .scale = o.number("scale", 0),
                           .rotary_theta = o.number("rotary_theta", 0)},
      in.dtype, in.device);
}

Made make_flatten(const LayerOptions&, const LayerInput&) { return std::make_unique<Flatten>(); }

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
      {"self_attention",
       {{"heads", KeyKind::positive, kRequired},
        {"kv_heads", KeyKind::positive},
        {"head_width", KeyKind::positive},
        bias,
        {"qkv_bias", KeyKind::flag},
        {"out_bias", KeyKind::flag},
        {"causal", KeyKind::flag},
        {"scale", KeyKind::number},
        {"rotary_theta", KeyKind::number}},
       make_self_attention},
      {"dropout", {p}, make_dropout},
      {"max_pool2d", {kernel, stride, padding}, make_pool2d<MaxPool2d>},
      {"avg_pool2d", {kernel, stride, padding}, make_pool2d<AvgPool2d>},
      {"adaptive_avg_pool2d", {{"size", KeyKind::positive}}, make_adaptive_avg_pool2d},
      {"flatten", {}, make_flatten},
      {"conv_transpose2d",
       {out, kernel, stride, padding, {"output_padding", KeyKind::natural}, groups, bias},
       make_conv_transpose2d},
      {"layer_norm", {eps, bias}, make_layer_norm},
      {"rms_norm", {eps}, make_rms_norm},
      {"tied_linear", {{"to", KeyKind::text, kRequired}}, make_tied_linear},
      {"add", {}, nullptr, Join::add},
      {"mul", {}, nullptr, Join::mul},
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
