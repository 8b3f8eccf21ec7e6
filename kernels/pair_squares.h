// SPDX-License-Identifier: Apache-2.0
// Squared distances of all pairs of rows, with the digits that the law of cosines needs.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// squares_ij = |x_i - x_j|^2 of x (N,D), D >= 1, any floating dtype. squares (N,N) is f64 on
/// either device and written: symmetric, 0 on the diagonal. Differences and sums are in f64: what
/// is left of P + Q - C for a long, thin triangle is smaller than each by the ratio of its sides,
/// so that f32 would leave nothing of it; inner products would also cancel far from the origin.
/// Each pair is summed once, over fixed lanes: N^2 D / 2 differences.
void pair_squares_forward(Tensor& squares, const Tensor& x);
/// dx_i = 2 factor sum_j dsquares_ij (x_i - x_j). dx is like x and written; it may not be x.
/// dsquares (N,N) is f64, symmetric, an entry the derivative by that pair's square, which both
/// entries stand for. Sums over j in order, in f64: two rows that are close have large and opposite
/// slopes by their squared distances from a third one, of which little is left for that. factor (1;
/// f32, f64 for f64) is the gradient of what the squares ended in; it multiplies before dx is
/// rounded, since small numbers of 16 bits have few digits.
void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor);

namespace cpu {
void pair_squares_forward(Tensor& squares, const Tensor& x);
void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor);
}  // namespace cpu
namespace cuda {
void pair_squares_forward(Tensor& squares, const Tensor& x);
void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor);
}  // namespace cuda

}  // namespace limbeck
