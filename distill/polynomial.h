// SPDX-License-Identifier: Apache-2.0
// Polynomial distillation: the samples of a batch are to be as similar to each other in the
// receiver as they are in the source.
#pragma once

#include <vector>

#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/gram_compare.h>

namespace limbeck {

/// congruence: the inner products of unit vectors through the Gaussian kernel's Taylor polynomial
/// (Peng et al., "Correlation congruence for knowledge distillation", ICCV 2019, equation 11).
/// similarity_preserving: the inner products of the vectors themselves, each row of the matrix
/// scaled to length 1 (Tung and Mori, ICCV 2019, equations 1 to 4).
enum class Similarity { congruence, similarity_preserving };

struct PolynomialOptions {
  Similarity similarity = Similarity::congruence;
  double gamma = 0.4;  ///< of exp(-gamma |x - y|^2); congruence only
  int degree = 2;      ///< of its polynomial, 1 to kMaxGramDegree; congruence only
  /// Whether the loss is divided by the mean square of the source's similarities: a relative error,
  /// so that a weight means the same whatever the source.
  bool relative = true;

  /// As published: 3000 times it is what the authors add to the cross-entropy.
  static PolynomialOptions tung_mori_2019() {
    return {.similarity = Similarity::similarity_preserving, .relative = false};
  }
};

/// The coefficients a_0 to a_degree of exp(-gamma |x - y|^2) = sum_p a_p (x.y)^p for unit vectors,
/// a_p = e^(-2 gamma) (2 gamma)^p / p!. All of them add up to 1, so what is left out is at most 1
/// less their sum, 0.047 at gamma 0.4 and degree 2.
std::vector<double> gaussian_taylor_coefficients(double gamma, int degree);

/// With s_i, t_i the taps of sample i as vectors of any two widths, no adapter, and K_S, K_T their
/// similarities, K = sum_p a_p (u_i . u_j)^p with u = x / |x| for congruence:
///   loss = mean_ij (K_S - K_T)^2, with `relative` over mean_ij K_T^2
/// A vector of length 0 is similar to none, and gets no gradient. The code is the source's vector,
/// of length 1 for congruence.
class Polynomial : public FeatureLoss {
 public:
  /// Of taps of one sample, of any shape.
  Polynomial(const Shape& receiver, const Shape& source, const PolynomialOptions& options = {});

  Shape code_shape() const override { return {source_.numel()}; }
  Tensor encode(const Tensor& source) const override;
  /// mean_over is N: the whole batch at once.
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  bool per_sample() const override { return false; }
  std::string describe() const override;

 private:
  bool congruence() const { return options_.similarity == Similarity::congruence; }
  Variable vectors(const Variable& taps) const;
  Variable similarities(const Variable& rows) const;

  Shape receiver_, source_;
  PolynomialOptions options_;
  GramCompareOptions compare_;
};

}  // namespace limbeck
