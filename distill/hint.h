// SPDX-License-Identifier: Apache-2.0
// The plainest comparison of two layers: their squared distance.
#pragma once

#include <memory>
#include <optional>

#include <limbeck/distill/adapter.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>

namespace limbeck {

struct HintOptions {
  /// What makes the receiver's features as wide as the source's; none: they are already.
  std::optional<AdapterKind> adapter = AdapterKind::linear;
  std::uint64_t seed = 0;  ///< of the adapter; another one for each tap
  /// Of the source's channels, (C) each, both or neither, read at every call: the code is
  /// (t - mean) / sqrt(variance + 1e-5), or t.
  Tensor mean = {}, variance = {};
};

/// Hints (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, equation 3): with s, t the
/// receiver and the source at a position and A the adapter,
///   loss = 1/(B P C_T) sum over B samples, P positions |A s - t|^2
/// the mean where the paper has half the sum. Without an adapter the mean squared error of two
/// features. The code is the source's features at every position.
class Hint : public FeatureLoss {
 public:
  /// Shapes of one sample's taps, (C), (T,C) or (H,W,C); they meet on common_grid.
  Hint(const Shape& receiver, const Shape& source, const HintOptions& options = {},
       DType dtype = DType::f32, Device device = Device::cpu());

  Shape code_shape() const override { return {grid_.positions(), tap_channels(source_)}; }
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  Shape receiver_, source_;
  TapGrid grid_;
  Standardise standardise_;
  std::unique_ptr<Module> adapter_;  // or null
};

}  // namespace limbeck
