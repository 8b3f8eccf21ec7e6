// SPDX-License-Identifier: Apache-2.0
// The fully connected layer.
#pragma once

#include <limbeck/kernels/joined_linear.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// y = x w^T + bias; parameters "weight" (O,I) and "bias" (O), zero until initialised. Tokens
/// (N,T,I) give (N,T,O); an image (N,H,W,C) is flattened to (N,I).
class Linear : public Module {
 public:
  /// `image` names the (H,W,C) of which the input is the flattened form, if it is.
  Linear(std::int64_t in, std::int64_t out, bool bias = true, DType dtype = DType::f32,
         Device device = Device::cpu(), const Shape& image = {});
  /// Shares another layer's weight (O,I), which stays that layer's parameter; no bias.
  explicit Linear(const Variable& tied_weight);

  Variable forward(const Variable& x, Context& context) override;
  /// act(forward(x)) as one op. With `packed`, of the weight, nothing is recorded.
  Variable forward_fused(const Variable& x, Activation act, const PackedWeight& packed = {});
  const Variable& weight() const { return weight_; }
  const Variable& bias() const { return bias_; }  ///< undefined without one
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  std::int64_t in_, out_;
  Shape image_;
  bool tied_ = false;
  Variable weight_, bias_;
};

}  // namespace limbeck
