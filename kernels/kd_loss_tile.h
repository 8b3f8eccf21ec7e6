// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: what the two ways to compute a tile of rows of the distillation loss share.
#pragma once

#include <limbeck/kernels/divergence.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu::kd {

/// One number for each row of a tile, one row per lane (a long row's stands in all lanes).
template <class F>
using PerLane = F[kLanes];

template <class F>
struct Weights {
  F tau, inv_tau;
  divergence::Weights<F> row;  ///< without tau^2
  F tckd, nckd;                ///< likewise
  F ce;
  F grad_soft;        ///< tau over the mean: of the gradients with respect to z / tau
  F grad_forward_kl;  ///< grad_soft times row.forward_kl
  F grad_ce;
  bool with_ce, with_jsd, with_dkd;
  bool mixed;      ///< more than forward KL and cross-entropy
  bool row_stats;  ///< log-sum-exps, entropies and agreement are wanted
};

/// Of each row: the soft loss without tau^2, and what the cross-entropy of a label's logit z is
/// made of: log_sum_c + max_s - z.
template <class F>
struct RowResult {
  PerLane<F> soft, max_s, log_sum_c;
  PerLane<F> poison;  ///< NaN where a logit is NaN or +inf, or all are -inf; else 0
  PerLane<F> student_lse, teacher_lse, student_entropy, teacher_entropy, agreement;
};

/// Memory that is soon read or written, walked along as a tile is computed; null for none.
struct Ahead {
  const char* at = nullptr;
  std::int64_t bytes = 0;  ///< per element of the tile

  template <bool kWrite>
  void prefetch(std::int64_t begin, std::int64_t end) const {
    if (at == nullptr) return;
    for (std::int64_t i = begin; i < end; i += kLanes)
      __builtin_prefetch(at + i * bytes, kWrite ? 1 : 0, 2);
  }
};

/// Rows of a tile, in blocks of elements: in place where that will do, else a staged copy.
template <class F>
struct LogitRows {
  const F* in_place;  ///< one long row, or null
  const F* staged;    ///< the tile; when in_place is there, only elements from `whole` on are
  std::int64_t whole;
  Ahead next;  ///< the rows after these

  /// Elements from `begin` on, up to the end of its block.
  const F* block(std::int64_t begin) const {
    return (in_place != nullptr && begin < whole ? in_place : staged) + begin;
  }
};

/// Calls body(begin, end) for blocks of elements; a long row's last, incomplete step is one of its
/// own.
template <bool kLong, class Body>
void for_each_block(const RowTile<kLong>& tile, Body body) {
  const std::int64_t whole = kLong ? tile.V / kLanes * kLanes : tile.size();
  for (std::int64_t i = 0; i < whole; i += kBlockElements)
    body(i, i + kBlockElements < whole ? i + kBlockElements : whole);
  if (whole < tile.size()) body(whole, tile.size());
}

/// KL and cross-entropy of rows, in few operations; what comes out is meant for the rows that are
/// `good`. The gradient, but for the cross-entropy's term of the label, goes to `gradient`: null,
/// the second array of scratch, or the memory of one long row, which is left alone unless good
/// where it is the student's, and else holds exponentials on the way.
/// `output` is where it ends up. `scratch` has kPlainArrays arrays of tile.size() values.
inline constexpr int kPlainArrays = 3;
template <class F, bool kLong>
void plain(const RowTile<kLong>& tile, F* scratch, F* gradient, const Ahead& output,
           const LogitRows<F>& student, const LogitRows<F>& teacher, const Weights<F>& w,
           RowResult<F>& out, PerLane<bool>& good);

/// The loss of staged rows, for any logits whatever. `scratch` has kCarefulArrays arrays of
/// tile.size() values, of which the first two hold the student's and the teacher's rows; the first
/// becomes the gradient but for the cross-entropy's term of the label. `label` (a number per row)
/// is read for DKD only; a negative one leaves it out.
inline constexpr int kCarefulArrays = 7;
template <class F, bool kLong>
void careful(const RowTile<kLong>& tile, F* scratch, const Weights<F>& w, const std::int32_t* label,
             RowResult<F>& out);

}  // namespace limbeck::cpu::kd
