// SPDX-License-Identifier: Apache-2.0
// Cosine similarities read as probabilities of neighbours, and their divergence.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// What a similarity is at least: an angle of 180 degrees, or 179.96 or more, is as far as it gets.
inline constexpr double kLeastSimilarity = 1e-7;

/// With k_ij = max((1 + g_ij) / 2, kLeastSimilarity) for cosines g (N,N) of student and teacher,
/// f32 (f64 on the CPU), and p_ij = k_ij / sum over j != i of k_ij, how likely sample i is to
/// choose j:
///   row_loss_i = KL(teacher's p_i || student's p_i) = sum over j != i of p^T log(p^T / p^S)
///   dgram_ij = -(p^T / p^S - 1) / (2 N sum k^S), 0 on the diagonal and where k is the least
/// the gradient of their mean. Nothing cancels where the two agree: with u = log(p^T / p^S) the sum
/// is that of p^T (u + e^-u - 1), none of whose terms is negative. row_loss (N) and dgram (N,N; or
/// undefined; may be student) are written. Passalis and Tefas, "Learning deep representations with
/// probabilistic knowledge transfer" (ECCV 2018), equations 4 to 8.
void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher);

namespace cpu {
void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher);
}  // namespace cpu
namespace cuda {
void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher);
}  // namespace cuda

}  // namespace limbeck
