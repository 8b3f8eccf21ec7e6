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

/// Of each row: the soft loss without tau^2, and what the cross-entropy of a label z is made of:
/// log(sum_c) + max_s - z.
template <class F>
struct RowResult {
  PerLane<F> soft, max_s, sum_c;
  PerLane<F> poison;  ///< NaN where a logit is NaN or +inf, or all are -inf; else 0
  PerLane<F> student_lse, teacher_lse, student_entropy, teacher_entropy, agreement;
};

/// The loss of staged rows, for any logits whatever. `scratch` has kCarefulArrays arrays of
/// tile.size() values, of which the first two hold the student's and the teacher's rows; the first
/// becomes the gradient, over weight[row], but for the cross-entropy's term of the label. `label`
/// (a number per row) is read for DKD only; a negative one leaves it out.
inline constexpr int kCarefulArrays = 7;
template <class F, bool kLong>
void careful(const RowTile<kLong>& tile, F* scratch, const Weights<F>& w, const std::int32_t* label,
             RowResult<F>& out);

}  // namespace limbeck::cpu::kd
