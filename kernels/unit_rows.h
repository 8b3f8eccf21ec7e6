// SPDX-License-Identifier: Apache-2.0
// Rows scaled to length 1.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y = x / |x| and norm = |x|, per row of x (N,D), D >= 1, any floating dtype, the square root of a
/// sum of squares in f32 (f64 for f64). y (x's shape and dtype; may be x) and norm (N; f32, f64 for
/// f64) are written. A row whose sum of squares is below the smallest normal number (lengths below
/// 1.1e-19 in f32) has no direction: y and norm are exactly 0, and so are its gradients.
void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x);
/// dx = (dy - y (y . dy)) / norm, per row: the part of dy along the row changes its length only.
/// y and norm are the forward's; written; dx may be dy.
void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);

namespace cpu {
void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x);
void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);
}  // namespace cpu
namespace cuda {
void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x);
void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);
}  // namespace cuda

}  // namespace limbeck
