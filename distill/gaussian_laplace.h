// SPDX-License-Identifier: Apache-2.0
// Gaussian-Laplace distillation: the receiver predicts the distribution of the source's features.
#pragma once

#include <limbeck/distill/adapter.h>
#include <limbeck/distill/channel_ledger.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/likelihood_loss.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>

namespace limbeck {

struct GaussianLaplaceOptions {
  Likelihood kind = Likelihood::mixture;
  AdapterKind adapter = AdapterKind::linear;
  std::uint64_t seed = 0;  ///< of the adapter; another one for each tap
  /// Of the source's channels, (C) each, both or neither, read at every call: the code is
  /// (t - mean) / sqrt(variance + 1e-5), or t.
  Tensor mean = {}, variance = {};
};

/// The variational likelihood head of Ahn et al., "Variational information distillation for
/// knowledge transfer" (CVPR 2019), whose Gaussian gets Laplace tails where a channel has them. The
/// code is the source's rows at the positions of common_grid, standardised where statistics are
/// given; with mu = adapter(receiver's rows) and scales per channel the loss is the mean over
/// samples, positions and channels of -log p(code | mu) (kernels/likelihood_loss.h). Up to the
/// code's entropy that is a bound on the information the receiver has of it, in nats: channel by
/// channel in the ledger. Parameters "adapter.*" and, without weight decay, "scale_v", "scale_b"
/// and "kappa" (C), of which kind decides; they begin at v = 1, b = 1/sqrt 2 (both of variance 1)
/// and pi = 1/2.
class GaussianLaplace : public FeatureLoss {
 public:
  /// Of taps of one sample: (C), (T,C) or (H,W,C).
  GaussianLaplace(const Shape& receiver, const Shape& source,
                  const GaussianLaplaceOptions& options = {}, DType dtype = DType::f32,
                  Device device = Device::cpu());

  Shape code_shape() const override;  ///< (positions, source's channels)
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

  const LikelihoodScales& scales() const { return scales_; }
  /// Of codes (N, code): channel_ledger with the scales as they are.
  std::vector<ChannelEntry> ledger(const Tensor& codes) const;

 private:
  Shape receiver_, source_;
  TapGrid grid_;
  GaussianLaplaceOptions options_;
  Standardise standardise_;
  std::unique_ptr<Module> adapter_;
  LikelihoodScales scales_;
};

/// Scales (C) at their initial values for a kind, on the tape.
LikelihoodScales initial_scales(Likelihood kind, std::int64_t C, DType dtype = DType::f32,
                                Device device = Device::cpu());
/// They as parameters "scale_v", "scale_b" and "kappa" that no weight decay touches.
std::vector<NamedParameter> scale_parameters(const LikelihoodScales& scales,
                                             const std::string& prefix = "");

}  // namespace limbeck
