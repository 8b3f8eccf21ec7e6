// SPDX-License-Identifier: Apache-2.0
// Channel maps scaled to length 1: rows of length 1 (kernels/unit_rows.h) where the channels lie
// innermost.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_npc = x_npc / norm_nc with norm_nc = sqrt(sum_p x_npc^2): x (N,P,C) floating, P and C >= 1;
/// one chain over p, in f32 (f64 for f64). y (x's shape and dtype; may be x) and norm (N,C; f32,
/// f64 for f64) are written. A column whose sum of squares is below the smallest normal number is
/// 0, as are its norm and gradient.
void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x);
/// dx = (dy - y sum_p y dy) / norm, per column. Written; dx may be dy.
void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);

namespace cpu {
void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x);
void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);
}  // namespace cpu
namespace cuda {
void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x);
void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm);
}  // namespace cuda

}  // namespace limbeck
