// SPDX-License-Identifier: Apache-2.0
// Distances and angles between rows compared with those between other rows, from squared distances.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// The parts' shares; the authors' "RKD-DA". One of 0 is not computed.
struct RelationalOptions {
  double distance_weight = 1;
  double angle_weight = 2;
};

/// Throws std::invalid_argument, with the op's name, unless both are >= 0, and one above.
void check_relational_options(const char* op, const RelationalOptions& options);

/// Of N points of the receiver and of the source each, given by squares (N,N), f64 as of
/// kernels/pair_squares.h, with d_ij = |x_i - x_j|, c_ijk the cosine of the angle at x_j between
/// x_i and x_k, and h Huber's penalty (e^2 / 2 up to 1, |e| - 1/2 beyond):
///   distance = mean over pairs i != j of h(d_ij / mean d (receiver) - the source's)
///   angle = mean over triplets of distinct points of h(c_ijk (receiver) - the source's)
///   loss = distance_weight distance + angle_weight angle
/// Cosines are by the law of cosines, c_ijk = (d_ij^2 + d_jk^2 - d_ik^2) / (2 d_ij d_jk); one of a
/// point with itself is 0, as is its distance, and neither has a gradient. Below two and three
/// points a part is 0. loss (1; f32 or f64) and dsquares (N,N), f64, symmetric, 0 on the diagonal,
/// are written, dsquares unless undefined: dloss by the square of each pair, which both of its
/// entries stand for. All in f64: sums over points in fixed lanes, then over pairs and rows in
/// order. N^3 / 2 triangles with all their angles, 2 N^2 numbers of memory.
void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options);

namespace cpu {
void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options);
}  // namespace cpu
namespace cuda {
void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options);
}  // namespace cuda

}  // namespace limbeck
