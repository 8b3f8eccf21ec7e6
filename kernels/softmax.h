// SPDX-License-Identifier: Apache-2.0
// Softmax over the last dimension, at a temperature.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_v = exp(x_v / tau) / sum_w exp(x_w / tau), per row of x (N,V), V >= 1, tau > 0; any floating
/// dtype, arithmetic in f32 (f64 for f64); written; y may be x. A logit of -inf has probability
/// exactly 0. A row is NaN when one of its logits is NaN or +inf, or all are -inf. In f32 within
/// 2e-6 of the row's largest probability at any tau from 0.5 to 1000 and logits to 1e4: the
/// exponent s = (x - max) / tau is off by 2^-23 |s|, which exp(s) makes less than 2^-24.
void softmax_forward(Tensor& y, const Tensor& x, double tau = 1);
/// dx_v = y_v (dy_v - sum_w y_w dy_w) / tau, per row; y is the forward output; written; dx may be
/// dy or y. Since sum y is 1, every dy may first be lessened by that of the most probable class:
/// then nothing cancels when y is nearly one-hot.
void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau = 1);

namespace cpu {
void softmax_forward(Tensor& y, const Tensor& x, double tau);
void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau);
}  // namespace cpu
namespace cuda {
void softmax_forward(Tensor& y, const Tensor& x, double tau);
void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau);
}  // namespace cuda

}  // namespace limbeck
