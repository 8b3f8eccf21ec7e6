// SPDX-License-Identifier: Apache-2.0
// Log-softmax over the last dimension.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_v = x_v - log sum_w exp(x_w), per row of x (N,V), shifted by the row maximum; any floating
/// dtype, arithmetic in f32 (f64 for f64); written; y may be x. V >= 1.
void log_softmax_forward(Tensor& y, const Tensor& x);
/// dx_v = dy_v - exp(y_v) sum_w dy_w, per row; y is the forward output; written; dx may be dy.
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y);

namespace cpu {
void log_softmax_forward(Tensor& y, const Tensor& x);
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y);
}  // namespace cpu
namespace cuda {
void log_softmax_forward(Tensor& y, const Tensor& x);
void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y);
}  // namespace cuda

}  // namespace limbeck
