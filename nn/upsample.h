// SPDX-License-Identifier: Apache-2.0
// Enlarging images as a layer, NHWC.
#pragma once

#include <limbeck/kernels/upsample.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// x (N,H,W,C) to (N, floor(H height), floor(W width), C), as kernels/upsample.h says.
class Upsample : public Module {
 public:
  explicit Upsample(const UpsampleOptions& options);
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override;

 private:
  UpsampleOptions options_;
};

}  // namespace limbeck
