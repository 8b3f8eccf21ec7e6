// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/pad_shortcut.h>

#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/pool2d.h>

namespace limbeck {

PadShortcut::PadShortcut(std::int64_t in, std::int64_t out, std::int64_t stride)
    : in_(in), out_(out), stride_(stride) {
  LIMBECK_CHECK(in >= 1 && out >= in && stride >= 1, "PadShortcut: ", in, " in, ", out,
                " out, stride ", stride, "; expected 1 <= in <= out and stride >= 1");
}

Variable PadShortcut::forward(const Variable& x, Context&) {
  const Shape y = output_shape(x.shape());
  // The mean of one cell is that cell, so a pooling of 1x1 windows takes every stride-th.
  const Variable cells = stride_ == 1 ? x : avg_pool2d(x, {1, stride_, 0});
  std::vector<Variable> parts;
  const auto add_zeros = [&](std::int64_t channels) {
    if (channels > 0)
      parts.emplace_back(
          Tensor::zeros({y[0], y[1], y[2], channels}, x.value().dtype(), x.value().device()));
  };
  add_zeros((out_ - in_) / 2);
  parts.push_back(cells);
  add_zeros(out_ - in_ - (out_ - in_) / 2);
  return concat(parts, -1);
}

Shape PadShortcut::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 4 && input[3] == in_, describe(), ": input has shape ", input,
                "; expected (N,H,W,", in_, ")");
  const auto kept = [&](std::int64_t cells) { return (cells + stride_ - 1) / stride_; };
  return {input[0], kept(input[1]), kept(input[2]), out_};
}

std::string PadShortcut::describe() const {
  return detail::concat("PadShortcut(", in_, ", ", out_, ", stride ", stride_, ")");
}

}  // namespace limbeck
