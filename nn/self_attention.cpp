// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/self_attention.h>

#include <algorithm>

#include <limbeck/autograd/attention.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/rotary.h>

namespace limbeck {
namespace {

SelfAttentionOptions completed(SelfAttentionOptions o) {
  LIMBECK_CHECK(o.width >= 1 && o.heads >= 1, "SelfAttention: width ", o.width, ", ", o.heads,
                " heads; expected both >= 1");
  if (o.kv_heads == 0) o.kv_heads = o.heads;
  LIMBECK_CHECK(o.kv_heads >= 1 && o.heads % o.kv_heads == 0, "SelfAttention: ", o.heads,
                " heads, ", o.kv_heads, " of keys; expected a divisor");
  LIMBECK_CHECK(o.head_width >= 1 || (o.head_width == 0 && o.width % o.heads == 0),
                "SelfAttention: width ", o.width, ", ", o.heads, " heads ", o.head_width,
                " wide; expected heads that divide the width, or a head_width");
  if (o.head_width == 0) o.head_width = o.width / o.heads;
  LIMBECK_CHECK(o.dropout >= 0 && o.dropout < 1, "SelfAttention: dropout is ", o.dropout,
                "; expected 0 <= dropout < 1");
  LIMBECK_CHECK(o.rotary_theta >= 0 && (o.rotary_theta == 0 || o.head_width % 2 == 0),
                "SelfAttention: rotary_theta ", o.rotary_theta, " of heads ", o.head_width,
                " wide; expected >= 0, and an even width to turn");
  return o;
}

std::int64_t packed_heads(const SelfAttentionOptions& o) { return o.heads + 2 * o.kv_heads; }

}  // namespace

SelfAttention::SelfAttention(const SelfAttentionOptions& options, DType dtype, Device device)
    : options_(completed(options)),
      qkv_(options_.width, packed_heads(options_) * options_.head_width, options_.qkv_bias, dtype,
           device),
      out_(options_.heads * options_.head_width, options_.width, options_.out_bias, dtype, device) {
}

Variable SelfAttention::turned(const Variable& qkv) {
  const std::int64_t T = qkv.shape()[1];
  if (!table_.defined() || table_.dim(0) < T) {
    const Tensor& x = qkv.value();
    const std::int64_t rows = table_.defined() ? std::max(T, 2 * table_.dim(0)) : T;
    if (table_.defined()) outgrown_.push_back(table_);
    table_ = rotary_table(rows, options_.head_width, {.theta = options_.rotary_theta},
                          x.dtype() == DType::f64 ? DType::f64 : DType::f32, x.device());
  }
  return rotary(qkv, table_.rows(0, T), options_.heads + options_.kv_heads);
}

Variable SelfAttention::forward(const Variable& x, Context& context) {
  const SelfAttentionOptions& o = options_;
  const Shape shape = output_shape(x.shape());
  Variable qkv =
      reshape(qkv_.forward(x, context), {shape[0], shape[1], packed_heads(o), o.head_width});
  if (o.rotary_theta > 0) qkv = turned(qkv);
  AttentionOptions options = {.scale = o.scale, .causal = o.causal};
  if (context.training && o.dropout > 0)
    options.dropout = {o.dropout, context.next_stream(), context.first_row};
  const Variable y = packed_attention(qkv, o.kv_heads, context.lengths, options);
  return out_.forward(reshape(y, {shape[0], shape[1], o.heads * o.head_width}), context);
}

Shape SelfAttention::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 3 && input[2] == options_.width, describe(), ": input has shape ",
                input, "; expected (N,T,", options_.width, ")");
  return input;
}

std::vector<NamedParameter> SelfAttention::parameters() {
  std::vector<NamedParameter> list;
  const std::pair<const char*, Linear*> layers[] = {{"qkv.", &qkv_}, {"out.", &out_}};
  for (const auto& [prefix, layer] : layers)
    for (NamedParameter& p : layer->parameters()) {
      p.name = prefix + p.name;
      list.push_back(std::move(p));
    }
  return list;
}

std::string SelfAttention::describe() const {
  const SelfAttentionOptions& o = options_;
  std::string text = detail::concat("SelfAttention(", o.width, ", ", o.heads, " heads");
  if (o.kv_heads != o.heads) text += detail::concat(", ", o.kv_heads, " of keys");
  if (o.causal) text += ", causal";
  if (o.rotary_theta > 0) text += ", rotary";
  if (o.dropout > 0) text += detail::concat(", dropout ", o.dropout);
  return text + ")";
}

}  // namespace limbeck
