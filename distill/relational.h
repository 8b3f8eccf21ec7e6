// SPDX-License-Identifier: Apache-2.0
// Distances and angles between the samples of a batch, as the source has them.
#pragma once

#include <limbeck/distill/feature_loss.h>
#include <limbeck/kernels/relational_loss.h>

namespace limbeck {

/// The relational loss of the rows of receiver (N,D) and source (N,M), of one dtype, shape (1):
/// squares of all pairs and what kernels/relational_loss.h makes of them. The gradient reaches the
/// receiver only; its part by the squares is computed with the forward pass.
Variable relational_loss(const Variable& receiver, const Tensor& source,
                         const RelationalOptions& options);

/// Relational knowledge distillation (Park et al., CVPR 2019, equations 4 to 9): with x_i the tap
/// of sample i as a vector, the distances |x_i - x_j| over their mean and the cosines of the angles
/// at x_j between x_i and x_k are to be the source's (kernels/relational_loss.h has the formula).
/// From squares of differences x_i - x_j in f64: inner products would cancel for samples that are
/// close, and f32 in the law of cosines. The root of a distance near 0 has a slope without bound,
/// so equal samples have distance and cosine 0 and get no gradient here. A sample is no pair with
/// itself. No adapter: widths may differ. Time N^2 (D + N), memory N^2 beyond the taps; below two
/// and three samples a part is 0. The code is the source's vector.
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
