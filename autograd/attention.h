// SPDX-License-Identifier: Apache-2.0
// Attention as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/attention.h>

namespace limbeck {

/// Attention of q (N,T,H,D) over k and v (N,S,G,D), see kernels/attention.h; result as q. lengths
/// (N) i32 or undefined. Saves the inputs, the result and one number per query and head.
Variable attention(const Variable& q, const Variable& k, const Variable& v,
                   const Tensor& lengths = {}, const AttentionOptions& options = {});

/// The same of a packed projection qkv (N,T,H + 2G,D): H heads of queries, then G of keys, G of
/// values, G = kv_heads; no part is copied. Result (N,T,H,D).
Variable packed_attention(const Variable& qkv, std::int64_t kv_heads, const Tensor& lengths = {},
                          const AttentionOptions& options = {});

}  // namespace limbeck
