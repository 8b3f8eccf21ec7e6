// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/attention_transfer.h>

#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/row_squares.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/gram_compare.h>

namespace limbeck {

AttentionTransfer::AttentionTransfer(const Shape& receiver, const Shape& source)
    : receiver_(receiver), source_(source), grid_(common_grid(receiver, source)) {
  LIMBECK_CHECK(receiver.rank() == source.rank() && grid_.positions() >= 2,
                "attention_transfer: taps are ", receiver, " and ", source,
                "; expected images or sequences of one length, of at least two positions");
}

Tensor AttentionTransfer::encode(const Tensor& source) const {
  check_tap("attention_transfer", "source", source, source_);
  const NoGrad no_grad;
  return maps(Variable(source)).value();
}

Variable AttentionTransfer::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("attention_transfer", "receiver", receiver.value(), receiver_);
  check_code("attention_transfer", code, code_shape(), receiver.value());
  return gram_compare(maps(receiver), code, {.mean_over = mean_over});
}

std::string AttentionTransfer::describe() const {
  return detail::concat("attention_transfer(", grid_.height, "x", grid_.width, ")");
}

Variable AttentionTransfer::maps(const Variable& taps) const {
  const Variable strength = row_squares(tap_rows(taps, grid_));
  return unit_rows(reshape(strength, {taps.shape()[0], grid_.positions()}));
}

}  // namespace limbeck
