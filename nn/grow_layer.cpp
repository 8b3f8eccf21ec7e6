// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/grow_layer.h>

#include <cmath>
#include <typeinfo>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/adaptive_avg_pool2d.h>
#include <limbeck/nn/batch_norm.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/embedding.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/layer_norm.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/pool2d.h>
#include <limbeck/nn/token_layers.h>
#include <limbeck/nn/token_pool.h>
#include <limbeck/nn/tokens.h>
#include <limbeck/nn/upsample.h>

namespace limbeck {
namespace {

using Values = std::vector<double>;

template <class... Layers>
bool is_one_of(Module& layer) {
  return (dynamic_cast<Layers*>(&layer) || ...);
}

bool is_depthwise(Module& layer) {
  const auto* conv = dynamic_cast<Conv2d*>(&layer);
  return conv && conv->options().groups > 1 &&
         layer.parameters()[0].value.shape()[0] == conv->options().groups;
}

Values read(const Tensor& t) { return t.to(Device::cpu()).to(DType::f64).to_vector<double>(); }

void write(Tensor& t, const Values& values) {
  t.copy_from(Tensor::from(values, t.shape()).to(t.dtype()).to(t.device()));
}

/// The parameter of that name; null when there is none.
Tensor* find(std::vector<NamedParameter>& list, const std::string& name) {
  for (NamedParameter& p : list)
    if (p.name == name) return &p.value.value();
  return nullptr;
}

/// Rows (O,I) of a wider layer: element (o,i) is share_i times (out(o), in(i)) of `values`.
Values widen(const Values& values, const UnitMap& out, const UnitMap& in, const Values& share) {
  Values wide;
  wide.reserve(static_cast<std::size_t>(out.big() * in.big()));
  for (const std::int64_t o : out.copy_of)
    for (std::size_t i = 0; i < in.copy_of.size(); ++i)
      wide.push_back(values[static_cast<std::size_t>(o * in.small + in.copy_of[i])] * share[i]);
  return wide;
}

/// Tells the rows of copies apart.
void add_noise(Values& wide, const Values& small, const UnitMap& out, const GrownLayer& layer,
               const GrowOptions& options) {
  if (options.noise == 0) return;
  double squares = 0;
  for (const double w : small) squares += w * w;
  const double rms = std::sqrt(squares / static_cast<double>(small.size()));
  const auto size = static_cast<std::int64_t>(wide.size());
  Tensor noise = Tensor::empty({size}, DType::f64);
  fill_normal(noise, options.noise * rms, {options.seed, 0, layer.index, RngPurpose::grow});
  const std::vector<bool> repeat = out.is_repeat();
  const std::int64_t row = size / out.big();
  for (std::int64_t i = 0; i < size; ++i)
    if (repeat[static_cast<std::size_t>(i / row)])
      wide[static_cast<std::size_t>(i)] += noise.data<double>()[i];
}

void grow_bias(const GrownLayer& layer, const UnitMap& out) {
  std::vector<NamedParameter> from = layer.small.parameters(), to = layer.big.parameters();
  const Tensor* small = find(from, "bias");
  Tensor* big = find(to, "bias");
  LIMBECK_CHECK(big || !small, "has a bias in the small model only; expected one in the big one");
  if (big && small)
    write(*big, widen(read(*small), out, identity_map(1), {1}));
  else if (big)
    big->fill(0);
}

/// `in` as often as it fits into the columns of a weight: the cells of an image or of a kernel.
UnitMap columns_of(const GrownLayer& layer, const Shape& small, const Shape& big) {
  const std::int64_t from = small.numel() / small[0], to = big.numel() / big[0];
  const std::int64_t times = from / layer.in.small;
  LIMBECK_CHECK(times * layer.in.small == from && times * layer.in.big() == to, "reads ", from,
                " numbers of ", layer.in.small, " channels in the small model and ", to, " of ",
                layer.in.big(), " in the big one; expected as many cells");
  return tile_map(layer.in, times);
}

UnitMap grow_mixing(const GrownLayer& layer, const GrowOptions& options) {
  std::vector<NamedParameter> from = layer.small.parameters(), to = layer.big.parameters();
  const Tensor& small = *find(from, "weight");
  Tensor& big = *find(to, "weight");
  const bool depthwise = is_depthwise(layer.big);
  UnitMap out = depthwise ? layer.in
                          : map_units(layer.small_out, layer.big_out, options.copies, options.seed);
  const std::int64_t cells = depthwise ? small.numel() / small.dim(0) : 0;
  const UnitMap in =
      depthwise ? identity_map(cells) : columns_of(layer, small.shape(), big.shape());
  const Values values = read(small);
  Values wide = widen(values, out, in, in.shares(options.shares));
  add_noise(wide, values, out, layer, options);
  write(big, wide);
  grow_bias(layer, out);
  return out;
}

void check_same_window(const GrownLayer& layer) {
  const auto* small = dynamic_cast<Conv2d*>(&layer.small);
  if (!small) return;
  const Conv2dOptions& a = small->options();
  const Conv2dOptions& b = dynamic_cast<Conv2d&>(layer.big).options();
  const std::int64_t kernel_a = layer.small.parameters()[0].value.shape()[1];
  const std::int64_t kernel_b = layer.big.parameters()[0].value.shape()[1];
  LIMBECK_CHECK(kernel_a == kernel_b && a.stride == b.stride && a.padding == b.padding &&
                    a.dilation == b.dilation,
                "is ", layer.small.describe(), " in the small model and ", layer.big.describe(),
                " in the big one; expected equal windows");
}

/// Whether the layer is one matrix, or one number for each channel and cell.
bool mixes(Module& layer) {
  if (layer.parameters().empty()) return false;  // tied to another layer
  const auto* conv = dynamic_cast<Conv2d*>(&layer);
  return conv ? conv->options().groups == 1 || is_depthwise(layer) : is_one_of<Linear>(layer);
}

/// Whether every channel is by itself, its numbers standing along the last axis.
bool is_channelwise(Module& layer) {
  return is_one_of<BatchNorm, LayerNorm, RMSNorm, Embedding, PositionEmbedding, TypeEmbedding,
                   ClassToken, ActivationLayer, Dropout, DropPath, Pool2d, AdaptiveAvgPool2d,
                   Upsample, ImageTokens, MeanTokens, SelectToken>(layer);
}

/// One tensor with channels along the last axis.
void copy_channels(Tensor& big, const Tensor& small, const UnitMap& out, const std::string& name) {
  const Shape &a = small.shape(), &b = big.shape();
  if (a.rank() == 0) return big.copy_from(small);  // a counter
  const std::int64_t rows = a.numel() / std::max<std::int64_t>(a[-1], 1);
  LIMBECK_CHECK(
      a.rank() == b.rank() && a[-1] == out.small && b[-1] == out.big() && rows * b[-1] == b.numel(),
      "has ", name, " ", a, " in the small model and ", b,
      " in the big one; expected them equal but for the last extent");
  write(big, widen(read(small), identity_map(rows), out, Values(out.copy_of.size(), 1)));
}

void copy_all(const GrownLayer& layer, const UnitMap& out) {
  std::vector<NamedParameter> from = layer.small.parameters(), to = layer.big.parameters();
  LIMBECK_CHECK(from.size() == to.size(), "has ", from.size(),
                " parameters in the small model and ", to.size(), " in the big one; ",
                "expected equally many");
  for (std::size_t i = 0; i < from.size(); ++i)
    copy_channels(to[i].value.value(), from[i].value.value(), out, from[i].name);
  std::vector<NamedBuffer> kept = layer.small.buffers(), moved = layer.big.buffers();
  for (std::size_t i = 0; i < kept.size(); ++i)
    copy_channels(moved[i].value, kept[i].value, out, kept[i].name);
}

double eps_of(Module& layer) {
  if (const auto* norm = dynamic_cast<BatchNorm*>(&layer)) return norm->options().eps;
  if (const auto* norm = dynamic_cast<LayerNorm*>(&layer)) return norm->eps();
  if (const auto* norm = dynamic_cast<RMSNorm*>(&layer)) return norm->eps();
  return 0;
}

/// Dropout is nothing in evaluation; the description of other layers without parameters is all
/// there is to them.
void check_same_settings(const GrownLayer& layer) {
  const double small_eps = eps_of(layer.small), big_eps = eps_of(layer.big);
  LIMBECK_CHECK(small_eps == big_eps, "has eps ", small_eps, " in the small model and ", big_eps,
                " in the big one; expected equal ones");
  if (is_one_of<Dropout, DropPath>(layer.big) || !layer.big.parameters().empty()) return;
  if (is_one_of<BatchNorm>(layer.big)) return;  // without weights; described by its width
  LIMBECK_CHECK(layer.small.describe() == layer.big.describe(), "is ", layer.small.describe(),
                " in the small model and ", layer.big.describe(),
                " in the big one; expected equal ones");
}

UnitMap grow_channelwise(const GrownLayer& layer, const GrowOptions& options) {
  if (is_one_of<LayerNorm, RMSNorm>(layer.big))
    LIMBECK_CHECK(layer.in.is_uniform(), "(", layer.big.describe(), ") is a mean over ",
                  layer.in.small, " units of which some have more copies among ", layer.in.big(),
                  " than others; expected a whole multiple, and copies = adjacent");
  check_same_settings(layer);
  const bool makes_channels = is_one_of<Embedding>(layer.big);
  UnitMap out = makes_channels
                    ? map_units(layer.small_out, layer.big_out, options.copies, options.seed)
                    : layer.in;
  copy_all(layer, out);
  return out;
}

/// A layer of which nothing is known: copied as it is.
UnitMap copy_as_is(const GrownLayer& layer) {
  const std::string small = layer.small.describe(), big = layer.big.describe();
  LIMBECK_CHECK(layer.in.is_identity() && small == big, "is ", small, " in the small model and ",
                big, " in the big one, and reads ", layer.in.small, " and ", layer.in.big(),
                " channels; such a layer cannot be wider");
  std::vector<NamedParameter> from = layer.small.parameters(), to = layer.big.parameters();
  for (std::size_t i = 0; i < from.size(); ++i)
    write(to.at(i).value.value(), read(from[i].value.value()));
  std::vector<NamedBuffer> kept = layer.small.buffers(), moved = layer.big.buffers();
  for (std::size_t i = 0; i < kept.size(); ++i) moved.at(i).value.copy_from(kept[i].value);
  return identity_map(layer.big_out);
}

}  // namespace

UnitMap grow_layer(const GrownLayer& layer, const GrowOptions& options) {
  LIMBECK_CHECK(typeid(layer.small) == typeid(layer.big), "is ", layer.small.describe(),
                " in the small model and ", layer.big.describe(),
                " in the big one; expected one type");
  LIMBECK_CHECK(layer.big_out >= layer.small_out, "has ", layer.small_out,
                " channels in the small model and ", layer.big_out,
                " in the big one; expected no fewer");
  check_same_window(layer);
  if (is_one_of<Flatten>(layer.big)) return tile_map(layer.in, layer.big_out / layer.in.big());
  if (mixes(layer.small) && mixes(layer.big) &&
      is_depthwise(layer.small) == is_depthwise(layer.big))
    return grow_mixing(layer, options);
  if (is_channelwise(layer.big)) return grow_channelwise(layer, options);
  return copy_as_is(layer);
}

bool make_identity(Module& layer) {
  std::vector<NamedParameter> list = layer.parameters();
  const bool linear = is_one_of<Linear>(layer), conv = is_one_of<Conv2d>(layer);
  if (list.empty() || !(linear || conv)) return false;
  const Shape& w = list[0].value.shape();  // (O,I) or (O,K,K,C)
  const std::int64_t O = w[0], K = conv ? w[1] : 1, C = w[-1];
  const bool depthwise = is_depthwise(layer);
  if (conv) {
    const Conv2dOptions& o = dynamic_cast<Conv2d&>(layer).options();
    if (o.stride != 1 || K % 2 == 0 || 2 * o.padding != o.dilation * (K - 1)) return false;
    if (o.groups > 1 && !depthwise) return false;
  }
  if (!depthwise && O != C) return false;
  Values values(static_cast<std::size_t>(w.numel()), 0);
  for (std::int64_t o = 0; o < O; ++o)  // 1 in the middle of the window
    values[static_cast<std::size_t>((o * K * K + K * K / 2) * C + (depthwise ? 0 : o))] = 1;
  write(list[0].value.value(), values);
  if (list.size() > 1) list[1].value.value().fill(0);
  return true;
}

bool can_be_zero(Module& layer) {
  return !layer.parameters().empty() && is_one_of<Linear, Conv2d, BatchNorm>(layer);
}

bool make_zero(Module& layer) {
  if (!can_be_zero(layer)) return false;
  for (NamedParameter& p : layer.parameters()) p.value.value().fill(0);
  return true;
}

}  // namespace limbeck
