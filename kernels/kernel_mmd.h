// SPDX-License-Identifier: Apache-2.0
// Maximum mean discrepancy: how far two populations are apart, no row of one belonging to a row of
// the other. Gretton et al., "A kernel two-sample test" (JMLR 2012), the V-statistic.
#pragma once

#include <limits>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// k(x, y) = rbf_weight exp(-|x - y|_2^2 / (2 sigma_rbf^2)) + laplace_weight exp(-|x - y|_1 /
/// sigma_laplace). Weights are >= 0; a kernel of weight 0 needs no sigma.
struct KernelMmdOptions {
  double sigma_rbf = std::numeric_limits<double>::quiet_NaN();      ///< > 0; no usable default
  double sigma_laplace = std::numeric_limits<double>::quiet_NaN();  ///< likewise
  double rbf_weight = 0.5, laplace_weight = 0.5;
};

/// loss (1) = mean_ab k(s_a, s_b) + mean_ij k(t_i, t_j) - 2 mean_aj k(s_a, t_j) of s (B,D) and
/// t (M,D), B, M, D >= 1; f32 (f64 for f64), written. ds, like s, written or undefined; t gets
/// none:
///   ds_a = 2/B^2 sum_b g(s_a, s_b) - 2/(BM) sum_j g(s_a, t_j)
///   g(x, y) = rbf (y - x) / sigma_rbf^2 + laplace sign(y - x) / sigma_laplace
/// Equal populations are exactly 0 apart. Distances are sums of differences, never |x|^2 + |y|^2 -
/// 2 x.y, which cancels. Takes O((B + M)^2 D), on a GPU also B (B + M) pairs of numbers.
void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options);

namespace cpu {
void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options);
}  // namespace cpu
namespace cuda {
void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options);
}  // namespace cuda

}  // namespace limbeck
