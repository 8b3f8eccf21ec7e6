// SPDX-License-Identifier: Apache-2.0
// Distances and angles between the samples of a batch, as the source has them.
#pragma once

#include <limbeck/distill/feature_loss.h>

namespace limbeck {

/// The parts' shares; the authors' "RKD-DA". One of 0 is not computed.
struct RelationalOptions {
  double distance_weight = 1;
  double angle_weight = 2;
};

/// Relational knowledge distillation (Park et al., CVPR 2019, equations 4 to 9). With x_i the tap
/// of sample i as a vector, d_ij = |x_i - x_j|, c_ijk the cosine of the angle at x_j between x_i
/// and x_k, and h Huber's penalty (e^2 / 2 up to 1, |e| - 1/2 beyond):
///   distance = mean over pairs i != j of h(d_ij / mean d (receiver) - the source's)
///   angle = mean over triplets of distinct samples of h(c_ijk (receiver) - the source's)
///   loss = distance_weight distance + angle_weight angle
/// All from differences x_i - x_j: inner products would cancel for samples that are close, and the
/// root of a distance near 0 has a slope without bound, so equal samples have distance and cosine 0
/// and get no gradient here. A sample is no pair with itself. No adapter: widths may differ. Memory
/// N^2 D / 2 numbers for distances, N^2 D and N^3 for angles; below two and three samples a part is
/// 0. The code is the source's vector.
class Relational : public FeatureLoss {
 public:
  /// Of taps of one sample, of any shape.
  Relational(const Shape& receiver, const Shape& source, const RelationalOptions& options = {});

  Shape code_shape() const override { return {source_.numel()}; }
  Tensor encode(const Tensor& source) const override;
  /// mean_over is N: the whole batch at once.
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  bool per_sample() const override { return false; }
  std::string describe() const override;

 private:
  Shape receiver_, source_;
  RelationalOptions options_;
};

}  // namespace limbeck
