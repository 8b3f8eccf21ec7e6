// SPDX-License-Identifier: Apache-2.0
// Log-softmax over the last dimension, at a temperature.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_v = x_v / tau - log sum_w exp(x_w / tau), per row of x (N,V), shifted by the row maximum, V >=
/// 1, tau > 0; any floating dtype, arithmetic in f32 (f64 for f64); written; y may be x. A logit of
/// -inf gives -inf. A row is NaN when one of its logits is NaN or +inf, or all are -inf.
void log_softmax_forward(Tensor& y, const Tensor& x, double tau = 1);
/// dx_v = (dy_v - exp(y_v) sum_w dy_w) / tau, per row; y is the forward output; written; dx may be
/// dy or y.
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau = 1);

namespace cpu {
void log_softmax_forward(Tensor& y, const Tensor& x, double tau);
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau);
}  // namespace cpu
namespace cuda {
void log_softmax_forward(Tensor& y, const Tensor& x, double tau);
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau);
}  // namespace cuda

}  // namespace limbeck
