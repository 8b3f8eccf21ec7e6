// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/pool2d.h>

#include <limbeck/autograd/pool2d.h>

namespace limbeck {

Pool2d::Pool2d(const Pool2dOptions& options) : options_(options) {
  LIMBECK_CHECK(options.kernel >= 1 && options.stride >= 1 && options.padding >= 0 &&
                    options.padding <= options.kernel / 2,
                "Pool2d: kernel ", options.kernel, ", stride ", options.stride, ", padding ",
                options.padding, "; expected kernel, stride >= 1 and 0 <= padding <= kernel / 2");
}

Shape Pool2d::output_shape(const Shape& input) const {
  const std::int64_t room = options_.kernel - 2 * options_.padding;
  LIMBECK_CHECK(input.rank() == 4 && input[1] >= room && input[2] >= room, describe(),
                ": input has shape ", input, "; expected (N,H,W,C) with H, W >= ", room);
  return pool2d_output_shape(input, options_);
}

std::string Pool2d::describe() const {
  return detail::concat(type(), "(kernel ", options_.kernel, ", stride ", options_.stride,
                        ", padding ", options_.padding, ")");
}

Variable MaxPool2d::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return max_pool2d(x, options_);
}

Variable AvgPool2d::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return avg_pool2d(x, options_);
}

}  // namespace limbeck
