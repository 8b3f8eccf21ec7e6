// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/channel_moments.h>

#include <sstream>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/batched_matmul.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/unit_columns.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/gram_compare.h>

namespace limbeck {
namespace {

MomentForm cheaper_form(std::int64_t P, std::int64_t S, std::int64_t T) {
  return P * (S + T) <= S * S + S * T + T * T ? MomentForm::positions : MomentForm::channels;
}

/// A A^T / C for each sample's A (P,C).
Variable second_moments(const Variable& maps) {
  return scale(batched_matmul(maps, Trans::no, maps, Trans::yes),
               1 / static_cast<double>(maps.shape()[2]));
}

/// sum over samples and pairs of (a_i.b_j)^2 / (C_a C_b)
Variable mean_kernel(const Variable& a, const Variable& b) {
  const Variable products = batched_matmul(a, Trans::yes, b, Trans::no);
  return scale(sum(mul(products, products)), 1 / static_cast<double>(a.shape()[2] * b.shape()[2]));
}

}  // namespace

ChannelMoments::ChannelMoments(const Shape& receiver, const Shape& source,
                               const ChannelMomentsOptions& options)
    : receiver_(receiver), source_(source), grid_(common_grid(receiver, source)) {
  LIMBECK_CHECK(receiver.rank() == source.rank() && grid_.positions() >= 2,
                "channel_moments: taps are ", receiver, " and ", source,
                "; expected images or sequences of one length, of at least two positions");
  form_ = options.form == MomentForm::automatic
              ? cheaper_form(grid_.positions(), tap_channels(receiver), tap_channels(source))
              : options.form;
}

Shape ChannelMoments::code_shape() const {
  const std::int64_t P = grid_.positions();
  return {P, form_ == MomentForm::positions ? P : tap_channels(source_)};
}

Tensor ChannelMoments::encode(const Tensor& source) const {
  check_tap("channel_moments", "source", source, source_);
  const NoGrad no_grad;
  const Variable b = maps(Variable(source));
  return (form_ == MomentForm::positions ? second_moments(b) : b).value();
}

Variable ChannelMoments::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("channel_moments", "receiver", receiver.value(), receiver_);
  check_code("channel_moments", code, code_shape(), receiver.value());
  const Variable a = maps(receiver);
  if (form_ == MomentForm::channels) {
    const Variable b(code);
    const Variable apart = add(mean_kernel(a, a), mean_kernel(b, b));
    return scale(sub(apart, scale(mean_kernel(a, b), 2)), 1 / mean_over);
  }
  const std::int64_t P = grid_.positions(), rows = code.dim(0) * P;
  // A mean over rows of P elements, of mean_over / P rows: a sum over the P^2 of a sample.
  return gram_compare(reshape(second_moments(a), {rows, P}), code.reshape({rows, P}),
                      {.mean_over = mean_over / static_cast<double>(P)});
}

std::string ChannelMoments::describe() const {
  std::ostringstream text;
  text << "channel_moments(" << tap_channels(source_) << " channels over " << grid_.positions()
       << " positions)";
  return text.str();
}

Variable ChannelMoments::maps(const Variable& taps) const {
  const std::int64_t N = taps.shape()[0], C = tap_channels(taps.shape());
  return unit_columns(reshape(tap_rows(taps, grid_), {N, grid_.positions(), C}));
}

}  // namespace limbeck
