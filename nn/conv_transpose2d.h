// SPDX-License-Identifier: Apache-2.0
// The transposed 2-D convolution layer, images in NHWC.
#pragma once

#include <limbeck/autograd/conv_transpose2d.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// x (N,H,W,I) to (N,OH,OW,O), autograd/conv_transpose2d.h's; parameters "weight" (I,K,K,O/groups),
/// in files (I,O/groups,K,K), and "bias" (O), zero until initialised.
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(std::int64_t in, std::int64_t out, std::int64_t kernel,
                  const ConvTranspose2dOptions& options = {}, bool bias = true,
                  DType dtype = DType::f32, Device device = Device::cpu());

  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  ConvTranspose2dOptions options_;
  Variable weight_, bias_;
};

}  // namespace limbeck
