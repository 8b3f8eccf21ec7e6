// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/adaptive_avg_pool2d.h>

#include <limbeck/autograd/adaptive_avg_pool2d.h>

namespace limbeck {

AdaptiveAvgPool2d::AdaptiveAvgPool2d(std::int64_t height, std::int64_t width)
    : height_(height), width_(width) {
  LIMBECK_CHECK(height >= 1 && width >= 1, "AdaptiveAvgPool2d: output is ", height, "x", width,
                "; expected at least 1x1");
}

Variable AdaptiveAvgPool2d::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return adaptive_avg_pool2d(x, height_, width_);
}

Shape AdaptiveAvgPool2d::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 4 && input[1] >= 1 && input[2] >= 1, describe(),
                ": input has shape ", input, "; expected (N,H,W,C) with H, W >= 1");
  return {input[0], height_, width_, input[3]};
}

std::string AdaptiveAvgPool2d::describe() const {
  return detail::concat("AdaptiveAvgPool2d(", height_, ", ", width_, ")");
}

}  // namespace limbeck
