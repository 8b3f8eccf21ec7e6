// SPDX-License-Identifier: Apache-2.0
// Sums of squares over rows: how strongly a position is attended to.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// q_n = sum_c x_nc^2: x (N,C), C >= 1, any floating dtype; q (N), f32 (f64 for f64), as are the
/// sums; written.
void row_squares_forward(Tensor& q, const Tensor& x);
/// dx_nc = 2 dq_n x_nc; dq as q. Written; dx may be x.
void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x);

namespace cpu {
void row_squares_forward(Tensor& q, const Tensor& x);
void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x);
}  // namespace cpu
namespace cuda {
void row_squares_forward(Tensor& q, const Tensor& x);
void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x);
}  // namespace cuda

}  // namespace limbeck
