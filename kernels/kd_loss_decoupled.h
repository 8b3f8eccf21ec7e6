// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: decoupled distillation (Zhao et al. 2022) of a tile of rows: the label's class
// against the rest, and the rest as a distribution of its own.
#pragma once

#include <utility>

#include <limbeck/kernels/kd_loss_divergences.h>

namespace limbeck::cpu::kd {

// The label's logits, taken out of each row.
template <class F>
struct Target {
  PerLane<F> zs, zt;
};

// Exchanges them with what stands in the rows; a masked one becomes the lowest number.
template <class F, class Tile>
void exchange_labels(const Tile& tile, const Arrays<F>& a, const std::int32_t* label,
                     Target<F>& target) {
  for (std::int64_t row = 0; row < tile.count; ++row) {
    if (label[row] < 0) continue;
    F &zs = a.zs[tile.index(row, label[row])], &zt = a.zt[tile.index(row, label[row])];
    std::swap(zs, target.zs[row]);
    std::swap(zt, target.zt[row]);
    target.zs[row] = target.zs[row] < kLowest<F> ? kLowest<F> : target.zs[row];
    target.zt[row] = target.zt[row] < kLowest<F> ? kLowest<F> : target.zt[row];
  }
}

// The label's class against the rest; nothing when there is no rest.
template <class F>
divergence::TwoOutcomes<F> target_class(const Target<F>& target, const Stats<F>& r,
                                        const Norms<F>& norms, F inv_tau, int lane) {
  if (r.max_s[lane] <= kLowest<F> || r.max_t[lane] <= kLowest<F>) return {0, 0};
  const F zs = target.zs[lane], zt = target.zt[lane];
  const F log_e = math::log(r.sum_e[lane]), log_t = math::log(r.sum_e[lane] + r.sum_y[lane]);
  const F s = divergence::bounded((zs - r.max_s[lane]) * inv_tau - log_e);
  const F t = divergence::bounded((zt - r.max_t[lane]) * inv_tau - r.raise[lane] - log_t);
  return divergence::two_outcomes(s, t, log_gap(r, lane, zs, zt, inv_tau) - norms.log_sums[lane]);
}

// Adds the loss to soft and leaves the gradient in `spare`.
template <class F, class Tile>
void decoupled(const Tile& tile, const Arrays<F>& a, const Weights<F>& w, const std::int32_t* label,
               PerLane<F>& soft) {
  Target<F> target;
  for (int lane = 0; lane < kLanes; ++lane) target.zs[lane] = target.zt[lane] = kLowest<F>;
  exchange_labels(tile, a, label, target);
  Stats<F> r;
  find_maxima(tile, a, r);
  exponentials<false>(tile, a, w.inv_tau, r);
  const Norms<F> norms(r);
  PerLane<F> unused;
  sum_divergences<false>(tile, a, norms, {w.nckd, 0, 0, 0, 0}, soft, unused);
  PerLane<F> change = {};  // of the label's probability, times its weight
  for (std::int64_t row = 0; row < tile.count; ++row) {
    if (label[row] < 0) continue;
    const auto two = target_class(target, r, norms, w.inv_tau, static_cast<int>(row));
    soft[row] += w.tckd > F(0) ? w.tckd * two.kl : F(0);
    change[row] = w.tckd * two.ps_minus_pt;
  }
  tile.spread(change);
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const divergence::ClassTerms<F> c = norms.terms(a, i, lane);
      a.spare[i + lane] = w.grad_soft * math::fma(w.nckd, c.ps_minus_pt, -change[lane] * c.ps);
    }
  }
  for (std::int64_t row = 0; row < tile.count; ++row)
    if (label[row] >= 0) a.spare[tile.index(row, label[row])] = w.grad_soft * change[row];
  exchange_labels(tile, a, label, target);
}

template <class F, class Tile>
void add_decoupled(const Tile& tile, const Arrays<F>& a, const PerLane<F>& soft,
                   RowResult<F>& out) {
  for (int lane = 0; lane < kLanes; ++lane) out.soft[lane] += soft[lane];
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) a.zs[i + lane] += a.spare[i + lane];
  }
}

}  // namespace limbeck::cpu::kd
