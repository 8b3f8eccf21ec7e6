// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm over the last dimension.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// y = (x - mean) / sqrt(variance + eps) weight + bias over the last dimension of x (...,C);
/// parameters "weight" (C), 1 at first, and "bias" (C), 0 at first; neither decays.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(std::int64_t features, double eps = 1e-5, bool bias = true,
                     DType dtype = DType::f32, Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;
  double eps() const { return eps_; }

 private:
  std::int64_t features_;
  double eps_;
  Variable weight_, bias_;
};

/// y = x / sqrt(mean of x^2 + eps) weight over the last dimension of x (...,C); parameter "weight"
/// (C), 1 at first, which does not decay.
class RMSNorm : public Module {
 public:
  RMSNorm(std::int64_t features, double eps, DType dtype = DType::f32,
          Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;
  double eps() const { return eps_; }

 private:
  std::int64_t features_;
  double eps_;
  Variable weight_;
};

}  // namespace limbeck
