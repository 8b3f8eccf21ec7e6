// SPDX-License-Identifier: Apache-2.0
// Subsampled randomised Hadamard transform: a projection in N log N additions.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Widest padded row: what a GPU's shared memory holds.
inline constexpr std::int64_t kSrhtMaxWidth = 16384;

/// One transform of rows of D elements to K, on one device. It is a function of (seed, layer, D,
/// K), the same on every device, and part of the file format of what is coded with it: P is D
/// padded to a power of two. Sign d is bit d % 32 (from the lowest) of word d / 32 of the stream
/// {seed, 0, layer, RngPurpose::srht}; a set bit is -1. The rows are the first K of 0..P-1 after a
/// Fisher-Yates shuffle that swaps place i with i + (word_i (P - i) >> 32) for i = 0, 1,
/// ..., word_i from the stream {seed, 1, layer, RngPurpose::srht}: those of a smaller K are the
/// first of those of a larger one.
struct SrhtPlan {
  std::int64_t D = 0;
  std::int64_t P = 0;
  std::int64_t K = 0;
  Tensor signs;  ///< i32 (ceil(P/32)): the words
  Tensor rows;   ///< i32 (K)
};

/// 1 <= D <= kSrhtMaxWidth, 1 <= K <= P.
SrhtPlan make_srht_plan(std::uint64_t seed, std::uint32_t layer, std::int64_t D, std::int64_t K,
                        Device device = Device::cpu());

/// y = sqrt(P/K) R H S x, y (N,K), x (N,D): signs S, Walsh-Hadamard transform H (orthonormal, of
/// size P, natural order), rows R. |y| = |x| when K = P; otherwise E |y|^2 = |x|^2 with variance
/// 2/K (|x|^4 - sum x_d^4) (P-K)/(P-1) (Ailon and Chazelle, 2009; Tropp, "Improved analysis of the
/// subsampled randomized Hadamard transform", 2011). Any floating dtype, arithmetic in f32 (f64 for
/// f64); written; y must not overlap x. Butterflies (a+b, a-b) go over the bits of the index from
/// the lowest to the highest, then each element is multiplied by 1/sqrt(K) and rounded: the same
/// bits on the CPU and on the GPU.
void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan);
/// dx = sqrt(P/K) (R H S)^T dy, dx (N,D), dy (N,K); written; dx must not overlap dy.
void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan);

namespace cpu {
void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan);
void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan);
}  // namespace cpu
namespace cuda {
void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan);
void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan);
}  // namespace cuda

}  // namespace limbeck
