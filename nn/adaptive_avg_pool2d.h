// SPDX-License-Identifier: Apache-2.0
// Average pooling to a given size as a layer, images in NHWC.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// x (N,H,W,C) to (N,height,width,C) for any H, W >= 1; 1x1 is the global average.
class AdaptiveAvgPool2d : public Module {
 public:
  AdaptiveAvgPool2d(std::int64_t height, std::int64_t width);
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override;

 private:
  std::int64_t height_, width_;
};

}  // namespace limbeck
