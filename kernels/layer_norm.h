// SPDX-License-Identifier: Apache-2.0
// Layer norm over the last dimension (Ba et al. 2016), and RMS norm, which does not centre (Zhang
// and Sennrich 2019).
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// y = (x - mean) rstd weight + bias, per row of x (...,C), C >= 1, rank >= 2, any floating dtype,
/// arithmetic in f32 (f64 for f64); rstd = 1 / sqrt(mean of (x - mean)^2 + eps), which is taken of
/// the differences, so a large mean costs no digits. weight, bias (C), x's dtype; undefined: 1 and
/// 0. y (x's shape and dtype; may be x), mean and rstd (rows; f32, f64 for f64) are written. mean
/// undefined: RMS norm, with 0 in its place. eps > 0.
void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps);
/// With g = dy weight and n = (x - mean) rstd, both sums over the row's C elements:
/// dx = rstd (g - sum g / C - n sum (g n) / C); RMS norm (mean undefined) lacks the middle term.
/// Written; dx may be dy.
void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight);
/// dweight (C; x's dtype) = sum over rows of dy n, written or added. On the CPU each column is one
/// chain over the rows that starts at 0 (write) or dweight (add), so a sum added over row blocks
/// equals the whole. (The gradient of bias is sum_rows of dy.)
void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out = Out::write);

namespace cpu {
void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps);
void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight);
void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out);
}  // namespace cpu
namespace cuda {
void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps);
void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight);
void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out);
}  // namespace cuda

}  // namespace limbeck
