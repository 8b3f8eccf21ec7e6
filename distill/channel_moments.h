// SPDX-License-Identifier: Apache-2.0
// The channels of a layer as a set of maps: the receiver's are to be distributed as the source's.
#pragma once

#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/tap.h>

namespace limbeck {

/// Which inner products are formed: those between positions, between channels, or whichever cost
/// fewer multiplications.
enum class MomentForm { automatic, positions, channels };

struct ChannelMomentsOptions {
  MomentForm form = MomentForm::automatic;
};

/// Neuron selectivity transfer with the polynomial kernel (x.y)^2 (Huang and Wang, "Like what you
/// like: knowledge distill via neuron selectivity transfer", 2017, section 4.2): the squared
/// maximum mean discrepancy of the two sets of channel maps, each map scaled to length 1. With a_i
/// and b_j the maps over P positions of C_S and C_T channels, A (P,C_S) and B (P,C_T) of them,
///   loss = mean over samples of 1/C_S^2 sum (a_i.a_j)^2 + 1/C_T^2 sum (b_i.b_j)^2
///                               - 2/(C_S C_T) sum (a_i.b_j)^2
///        = mean over samples of |A A^T / C_S - B B^T / C_T|_F^2.
/// The second line is the form `positions`, P^2 (C_S + C_T) multiplications a sample and never
/// below 0; the first one is `channels`, P (C_S^2 + C_S C_T + C_T^2), whose three terms cancel but
/// for an ulp of theirs where the two sets agree. No adapter: neither the channels' number nor
/// their order matters. A map of zeros counts as one of length 0.
class ChannelMoments : public FeatureLoss {
 public:
  /// Taps of one sample, both (H,W,C), which meet on the smaller extents, or both (T,C).
  ChannelMoments(const Shape& receiver, const Shape& source,
                 const ChannelMomentsOptions& options = {});

  /// positions: B B^T / C_T, (P,P). channels: B, (P,C_T).
  Shape code_shape() const override;
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::string describe() const override;

  MomentForm form() const { return form_; }  ///< never automatic

 private:
  Variable maps(const Variable& taps) const;

  Shape receiver_, source_;
  TapGrid grid_;
  MomentForm form_;
};

}  // namespace limbeck
