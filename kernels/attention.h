// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention of many heads, without ever storing the scores.
#pragma once

#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Heads [first, first + count) of a tensor (N,T,*,D). A tensor stands for all of its heads; parts
/// of one tensor are how a packed projection is read, and its gradient written, without copies.
struct Heads {
  Tensor tensor;
  std::int64_t first = 0;
  std::int64_t count = 0;

  Heads(const Tensor& all);
  Heads(const Tensor& packed, std::int64_t first, std::int64_t count);
  std::int64_t rows() const { return tensor.dim(1); }
  std::int64_t width() const { return tensor.dim(3); }
};

/// Dropout of probabilities, whose mask is never stored. That of query i of head h for key j is
/// kept when word j % 4 of block (((first_sequence + n) H + h) T + i) ceil(S/4) + floor(j/4) of the
/// stream is >= dropout_threshold(p) (kernels/dropout.h), and divided by 1 - p. There are fewer
/// than 2^32 blocks.
struct AttentionDropout {
  double p = 0;  ///< 0 <= p < 1
  RngStream stream = {};
  std::int64_t first_sequence = 0;  ///< in the whole batch of the first one of this micro-batch
};

struct AttentionOptions {
  double scale = 0;     ///< of the scores; 0: 1 / sqrt(D)
  bool causal = false;  ///< query i sees the keys j <= i + S - T: the last query sees all
  AttentionDropout dropout = {};
};

/// y_i = sum_j p_ij v_j with p_ij = exp(s_ij - lse_i), s_ij = scale q_i . k_j and lse_i = log sum_j
/// exp(s_ij), over the keys j < lengths[n] that query i may see (Vaswani et al. 2017; blockwise as
/// Dao et al. 2022). q (N,T,H,D), k and v (N,S,G,D) with G a divisor of H: head h reads key head
/// h G/H (Ainslie et al. 2023); lengths (N) i32 within 0..S, or undefined: S. One floating dtype,
/// arithmetic in f32 (f64 for f64). Writes y as q and lse (N,H,T) in f32 (f64 for f64), which
/// backward needs. A query that sees no key has y = 0 and lse = -inf. Outputs alias nothing. With
/// dropout y_i = sum_j m_ij p_ij v_j, m_ij being 0 or 1 / (1 - p); backward takes the same options.
void attention_forward(Heads y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths = {}, const AttentionOptions& options = {});

/// Gradients of q, k and v, as they are, all written, from dy, y and lse of the forward. dk and dv
/// are sums over the heads that share a key head, then over the queries, in their order. Outputs
/// alias no input; they may be parts of one tensor.
void attention_backward(Heads dq, Heads dk, Heads dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths = {}, const AttentionOptions& options = {});

namespace cpu {
void attention_forward(Heads& y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths, const AttentionOptions& options);
void attention_backward(Heads& dq, Heads& dk, Heads& dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths, const AttentionOptions& options);
}  // namespace cpu
namespace cuda {
void attention_forward(Heads& y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths, const AttentionOptions& options);
void attention_backward(Heads& dq, Heads& dk, Heads& dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths, const AttentionOptions& options);
}  // namespace cuda

}  // namespace limbeck
