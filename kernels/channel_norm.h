// SPDX-License-Identifier: Apache-2.0
// Groups of channels normalised over the cells of a sample: group norm (Wu and He 2018); with one
// group per channel instance norm; and with all cells of the batch as one sample besides, batch
// norm (Ioffe and Szegedy 2015).
//
// x (N,R,C) are N samples of R cells of C channels, any floating dtype; arithmetic in f32 (f64 for
// f64), in which statistics and sums are kept. The G groups are of C/G channels next to each other;
// G is the second extent of mean (N,G) and variance (N,G). rstd = 1 / sqrt(variance + eps), eps >
// 0; n = (x - mean) rstd. weight, bias (C) have x's dtype; undefined: 1 and 0.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// mean and variance (that of the population) of each group's R C/G elements, R >= 1; written. Sums
/// are of differences from the mean of a piece of rows, and pieces are merged (Chan et al. 1983),
/// so a large mean costs no digits.
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
/// y = n weight + bias; written; y may be x.
void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps);
/// sum_dy (N,C) = sum over cells of dy, sum_dyn (N,C) = sum of dy n; written. Summed over samples
/// they are the gradients of bias and weight.
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps);
/// With g = dy weight and means over a group's elements:
/// dx = rstd (g - mean of g - n mean of (g n)), which come from the sums above; written; dx may be
/// dy. Sums undefined: the statistics are constants, and dx = rstd g.
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps);

namespace cpu {
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps);
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps);
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps);
}  // namespace cpu
namespace cuda {
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps);
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps);
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps);
}  // namespace cuda

}  // namespace limbeck
