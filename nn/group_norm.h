// SPDX-License-Identifier: Apache-2.0
// Group norm, images in NHWC.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// y = (x - mean) / sqrt(variance + eps) weight + bias with the statistics of each sample's groups
/// of channels; x (N,...,C). One group per channel is instance norm. Parameters "weight" (C), 1 at
/// first, and "bias" (C), 0 at first; neither decays; affine = false: none.
class GroupNorm : public Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps = 1e-5, bool affine = true,
            DType dtype = DType::f32, Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  /// relu(forward(x)), or relu(forward(x) + skip), as one op.
  Variable forward_relu(const Variable& x, const Variable& skip = {});
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  std::int64_t groups_, channels_;
  double eps_;
  Variable weight_, bias_;
};

}  // namespace limbeck
