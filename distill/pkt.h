// SPDX-License-Identifier: Apache-2.0
// Who is a neighbour of whom, as probabilities.
#pragma once

#include <limbeck/distill/feature_loss.h>

namespace limbeck {

/// Probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018, equations 4 to 8) with the
/// cosine kernel k_ij = (1 + cos(x_i, x_j)) / 2 of the samples' taps as vectors, and p_ij = k_ij /
/// sum over j != i of k_ij:
///   loss = mean over samples i of KL(p_i of the source || p_i of the receiver)
/// kernels/similarity_kl.h. The sum over a row's j, as everywhere; the authors' program has the
/// mean of both and keeps the sample itself. No adapter: widths may differ. The code is the
/// source's vector, of length 1.
class Pkt : public FeatureLoss {
 public:
  /// Of taps of one sample, of any shape.
  Pkt(const Shape& receiver, const Shape& source) : receiver_(receiver), source_(source) {}

  Shape code_shape() const override { return {source_.numel()}; }
  Tensor encode(const Tensor& source) const override;
  /// mean_over is N: the whole batch at once.
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  bool per_sample() const override { return false; }
  std::string describe() const override { return "pkt(cosine)"; }

 private:
  Shape receiver_, source_;
};

}  // namespace limbeck
