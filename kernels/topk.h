// SPDX-License-Identifier: Apache-2.0
// The largest logits of each row, and what the others weigh: a teacher as it is stored when its
// vocabulary is large.
#pragma once

#include <cstdint>

#include <limbeck/core/tensor.h>

namespace limbeck {

inline constexpr std::int64_t kMaxTopk = 1024;

/// Per row of logits (N,V), any floating dtype, 1 <= K <= min(V, kMaxTopk):
///   values (N,K), f32 (f64 for f64): the K largest logits, descending; of equals, the one with the
///   lower index comes first; indices (N,K) i32: where they are;
///   rest_lse (N), like values: log sum exp(x_v / tau) over the V - K others, as a sum of its own
///   that is never a difference; -inf when there are none, or all are -inf. May be undefined when
///   not wanted; then tau is not read.
/// All written. A row with a NaN or +inf has no order: its values and rest_lse are NaN, its indices
/// -1. Reads the logits from memory once, as far as a row stays in the cache.
void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau);

namespace cpu {
void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau);
}  // namespace cpu
namespace cuda {
void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau);
}  // namespace cuda

}  // namespace limbeck
