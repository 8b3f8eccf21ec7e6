// SPDX-License-Identifier: Apache-2.0
// How far a distribution per channel is from another, in closed form. Between distributions the
// Laplace's divergence is smooth in its mean, which |t - mu| of samples is not.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// KL(p || q) of which p and q.
enum class DistributionKl { gauss_gauss, laplace_laplace, gauss_laplace };
const char* distribution_kl_name(DistributionKl kind);

/// One distribution per element: mean m (R,C) and log_scale, log v of a Gaussian, log b of a
/// Laplace, (R,C) or (1), one for all. Also the gradients with respect to them; log scales of
/// either sign, within +-80 in f32.
struct Distribution {
  Tensor mean, log_scale;
};

struct DistributionKlOptions {
  DistributionKl kind = DistributionKl::gauss_gauss;
  double mean_over = 0;  ///< rows the loss is a mean over, as CrossEntropyOptions; 0: all R
};

/// All written; undefined ones are left out.
struct DistributionKlOutputs {
  Tensor row_loss;      ///< (R), f32 (f64 for f64)
  Distribution dp, dq;  ///< (R,C), like the means; none of a log_scale that is one for all
};

/// row_loss_r = 1/C sum_c KL(p_rc || q_rc); the gradients are those of the sum of row_loss over
/// mean_over. With D = m1 - m2 and h(x) = e^x - 1 - x >= 0, computed without cancellation:
///   gauss_gauss, s = log v:      1/2 (h(s1 - s2) + D^2 e^-s2)
///   laplace_laplace, l = log b:  h(l1 - l2) + q h(-u), q = e^(l1 - l2), u = |D| e^-l1
///   gauss_laplace:               log 2b - 1/2 log(2 pi e v) + E/b, with z = D / sqrt(2v)
///                                E = sqrt(2v) (e^(-z^2)/sqrt(pi) + z erf z) = E|x - m2|
/// All tensors of one floating dtype; arithmetic in f32 (f64 for f64).
void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q, const DistributionKlOptions& options);

namespace cpu {
void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q, const DistributionKlOptions& options);
}  // namespace cpu
namespace cuda {
void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q, const DistributionKlOptions& options);
}  // namespace cuda

}  // namespace limbeck
