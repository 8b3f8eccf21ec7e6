// SPDX-License-Identifier: Apache-2.0
// One vector for a sequence of them.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Which token stands for the sequence, or the mean of all.
enum class TokenPool { first, last, mean };

/// y_n = x_n0, x_n,L(n)-1 or sum_{t<L(n)} x_nt / L(n): x (N,T,D) floating, y (N,D) like x, lengths
/// (N) i32 in 1 to T, or undefined for T everywhere. Sums in f32 (f64 for f64), in the order of t.
/// Written. A length out of range throws std::invalid_argument on the CPU; on a GPU its row is NaN.
void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool);

/// dx_nt = dy_n where y_n is x_nt, dy_n / L(n) for t < L(n) of a mean, else 0. Written; shapes and
/// lengths as in forward, on a GPU NaN for a length out of range.
void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool);

namespace cpu {
void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool);
void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool);
}  // namespace cpu
namespace cuda {
void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool);
void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool);
}  // namespace cuda

}  // namespace limbeck
