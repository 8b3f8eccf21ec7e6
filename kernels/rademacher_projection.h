// SPDX-License-Identifier: Apache-2.0
// Projection by a random matrix of signs, which is generated where it is used and never stored.
#pragma once

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/rademacher.h>

namespace limbeck {

/// y = x Phi^T, y (N,K), x (N,D), Phi (K,D) with Phi_kd = sign (k,d) of the matrix / sqrt(K):
/// E |y|^2 = |x|^2, with variance 2/K (|x|^4 - sum x_d^4) (Achlioptas, "Database-friendly random
/// projections", 2003). Any floating dtype, arithmetic in f32 (f64 for f64); written; y must not
/// overlap x. K, D >= 1.
///
/// The order of each sum is fixed: a chain over d = 0, 4, 8, ... from 0, each step adding
/// (+-x_d +- x_d+1) + (+-x_d+2 +- x_d+3) with 0 for what is missing; then times 1/sqrt(K), rounded.
/// So the bits are the same on the CPU and on a GPU; except that 16-bit rows which begin at
/// multiples of 16 bytes go through a GPU's tensor cores, which add up in f32 in their own order.
void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix);
/// dx = dy Phi, dx (N,D), dy (N,K); the sums go over k in the same way; written; dx must not
/// overlap dy.
void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix);

namespace cpu {
void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix);
void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix);
}  // namespace cpu
namespace cuda {
void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix);
void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix);
}  // namespace cuda

}  // namespace limbeck
