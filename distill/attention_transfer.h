// SPDX-License-Identifier: Apache-2.0
// Where a layer looks: maps of its strength over positions.
#pragma once

#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/tap.h>

namespace limbeck {

/// Attention transfer (Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017,
/// section 3.1): with q_p = sum over channels of x_p^2 at P positions and u = q / |q| of each
/// sample,
///   loss = 1/(B P) sum over B samples |u_S - u_T|^2
/// the mean squared difference of the authors' program, 1000 times half of which they add to the
/// cross-entropy (the paper's formula has the distance itself). No adapter: the number of channels
/// does not matter. The code is the source's map u, P numbers.
class AttentionTransfer : public FeatureLoss {
 public:
  /// Taps of one sample, both (H,W,C), which meet on the smaller extents, or both (T,C).
  AttentionTransfer(const Shape& receiver, const Shape& source);

  Shape code_shape() const override { return {grid_.positions()}; }
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::string describe() const override;

 private:
  Variable maps(const Variable& taps) const;

  Shape receiver_, source_;
  TapGrid grid_;
};

}  // namespace limbeck
