// SPDX-License-Identifier: Apache-2.0
// The 2-D convolution layer, images in NHWC.
#pragma once

#include <limbeck/kernels/conv2d.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// x (N,H,W,C) to (N,OH,OW,O); parameters "weight" (O,K,K,C/groups) and "bias" (O), zero until
/// initialised.
class Conv2d : public Module {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2dOptions& options = {},
         bool bias = true, DType dtype = DType::f32, Device device = Device::cpu());

  Variable forward(const Variable& x, Context& context) override;
  /// relu(forward(x)) as one op.
  Variable forward_relu(const Variable& x);
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;
  const Conv2dOptions& options() const { return options_; }
  const Variable& weight() const { return weight_; }
  const Variable& bias() const { return bias_; }  ///< undefined without one

 private:
  Conv2dOptions options_;
  Variable weight_, bias_;
};

}  // namespace limbeck
