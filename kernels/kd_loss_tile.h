// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: what the two ways to compute a tile of rows of the distillation loss share.
#pragma once

#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu::kd {

/// One number for each row of a tile, one row per lane (a long row's stands in all lanes).
template <class F>
using PerLane = F[kLanes];

template <class F>
struct Weights {
  F tau, inv_tau, loss_kd, loss_ce, grad_kd, grad_ce;
  bool with_ce;
};

/// kl, and what the cross-entropy of a label z is made of: log(sum_c) + max_s - z.
template <class F>
struct RowResult {
  PerLane<F> kl, max_s, sum_c;
  PerLane<F> poison;  ///< NaN where an input is not finite, else 0
};

}  // namespace limbeck::cpu::kd
