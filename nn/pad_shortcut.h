// SPDX-License-Identifier: Apache-2.0
// A residual block's shortcut without weights.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// Every stride-th row and column of an image (N,H,W,in), between channels of zeros: (N,
/// ceil(H/stride), ceil(W/stride), out) with x's channels from (out - in) / 2 on. Option A of He et
/// al. 2016, Deep Residual Learning for Image Recognition, 3.3.
class PadShortcut : public Module {
 public:
  /// Throws std::invalid_argument for out < in and stride < 1.
  PadShortcut(std::int64_t in, std::int64_t out, std::int64_t stride = 2);
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override;

 private:
  std::int64_t in_, out_, stride_;
};

}  // namespace limbeck
