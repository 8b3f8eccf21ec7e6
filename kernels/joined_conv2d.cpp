// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_conv2d.h>

#include <limbeck/core/dispatch.h>

namespace limbeck {

void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack& stack) {
  check_joined_count("joined_conv2d", parts.size());
  LIMBECK_CHECK(x.defined() && is_floating(x.dtype()), "joined_conv2d: x is ",
                x.defined() ? dtype_name(x.dtype()) : "undefined", "; expected a floating dtype");
  LIMBECK_CHECK(options.groups == 1, "joined_conv2d: groups is ", options.groups, "; expected 1");
  for (const Conv2dPart& part : parts) {
    const Shape w = part.w.defined() ? part.w.shape() : Shape{}, first = parts[0].w.shape();
    LIMBECK_CHECK(w.rank() == 4 && w[1] == first[1] && w[2] == first[2] && w[3] == first[3],
                  "joined_conv2d: w has shape ", w, ", another ", first,
                  "; expected (O,KH,KW,C) with the same windows");
    check_joined("joined_conv2d", "w", part.w, w, x);
    check_joined("joined_conv2d", "y", part.y, conv2d_output_shape(x.shape(), w, options), x);
    if (part.bias.defined()) check_joined("joined_conv2d", "bias", part.bias, {w[0]}, x);
  }
  check_stack<Conv2dPart>("joined_conv2d", stack, parts);
  LIMBECK_DISPATCH(x.device(), joined_conv2d_forward(parts, x, options, stack));
}

namespace cpu {

void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack&) {
  for (Conv2dPart& part : parts) {
    Conv2dOptions own = options;
    own.relu = part.relu;
    cpu::conv2d_forward(part.y, x, part.w, part.bias, own);
  }
}

}  // namespace cpu

}  // namespace limbeck
