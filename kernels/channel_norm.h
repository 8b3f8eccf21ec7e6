// SPDX-License-Identifier: Apache-2.0
// Groups of channels normalised over the cells of a sample: group norm (Wu and He 2018); with one
// group per channel instance norm; and with all cells of the batch as one sample besides, batch
// norm (Ioffe and Szegedy 2015). With it, in the same pass, what often follows: a relu, or an
// addition and a relu.
//
// x (N,R,C) are N samples of R cells of C channels, any floating dtype; arithmetic in f32 (f64 for
// f64), in which statistics and sums are kept. The G groups are of C/G channels next to each other;
// G is the second extent of mean (N,G) and variance (N,G). rstd = 1 / sqrt(variance + eps), eps >
// 0; n = (x - mean) rstd. Every step is rounded to x's dtype, so that an op has the bits of those
// it stands for.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// What x is normalised with.
struct ChannelNorm {
  Tensor mean = {}, variance = {};  ///< (N,G)
  Tensor weight = {}, bias = {};    ///< (C), of x's dtype; undefined: 1 and 0
  double eps = 1e-5;
  bool relu = false;  ///< what is below 0 becomes 0
};

/// mean and variance (that of the population) of each group's R C/G elements, R >= 1; written. Sums
/// are of differences from the mean of a piece of rows, and pieces are merged (Chan et al. 1983),
/// so a large mean costs no digits.
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
/// y = n weight + bias, or its relu; written; y may be x.
void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm);
/// y = relu(n weight + bias + skip), skip like x; written; y may be x or skip. A norm without relu.
void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm);
/// sum_dy (N,C) = sum over cells of dy, sum_dyn (N,C) = sum of dy n; written. Summed over samples
/// they are the gradients of bias and weight. With relu dy counts where y > 0, which is computed
/// again from x: y need not be kept.
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm);
/// dz = dy where y > 0, else 0, the gradient of skip and of what is before the addition, and the
/// sums of dz; y as channel_norm_add_relu_forward made it; written; dz may be dy.
void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm);
/// With g = dy weight (with relu: where y > 0) and means over a group's elements:
/// dx = rstd (g - mean of g - n mean of (g n)), which come from the sums above; written; dx may be
/// dy. Sums undefined: the statistics are constants, and dx = rstd g.
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn);

namespace cpu {
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm);
void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm);
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm);
void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm);
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn);
}  // namespace cpu
namespace cuda {
void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x);
void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm);
void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm);
void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm);
void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm);
void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn);
}  // namespace cuda

}  // namespace limbeck
