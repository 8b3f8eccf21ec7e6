// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the distillation loss of a tile of rows, for any logits whatever.
#pragma once

#include <limbeck/kernels/kd_loss_tile.h>

namespace limbeck::cpu::kd {

// With s = (zs - max zs)/tau, t = (zt - max zt)/tau - raise for any
// number `raise` of the row, d = t - s, e = exp(s) and y = e expm1(d):
//   A = sum y / sum e,   k = 1 / (sum e + sum y),   u = d - log1p(A) = log pt - log ps,
//   ps - pt = k (A e - y),   pt = k (e + y),   KL = sum pt (expm1(-u) + u).
// Nothing cancels when the models agree, and pass one needs two exponentials per element, pass two
// none. It loses digits when A is close to -1: the row is repeated with a better `raise`. And where
// e is tiny under a large pt: there the repeat takes y = exp(t) - e.
constexpr int kAttempts = 4;

/// Whether the cross-entropy needs exponentials of its own.
template <class F>
bool own_ce(const Weights<F>& w) {
  return w.with_ce && w.tau != F(1);
}

template <class F>
struct Arrays {
  F *zs, *zt, *d, *e, *y, *c;
};

// a - b and what rounding took from it.
template <class F>
struct Difference {
  F value, lost;
};
template <class F>
Difference<F> exact_difference(F a, F b) {
  const F value = a - b, minus_b = value - a;
  const F lost = (a - (value - minus_b)) - (b + minus_b);
  return {value, value - value == F(0) ? lost : F(0)};  // of an infinite one, nothing
}

// Statistics of each row of a tile, one row per lane (a long row's are repeated in all lanes).
template <class F>
struct RowStats {
  PerLane<F> max_s, max_t, raise;
  PerLane<F> max_gap, max_gap_lost;  // max_t - max_s
  PerLane<F> poison;                 // NaN where an input is not finite, else 0
  PerLane<F> sum_e, sum_y, sum_c, risk;
};

// Bounded, because an infinite one times a probability of 0 would be NaN.
template <class F>
F bounded(F x) {
  const F below = x > F(1e30) ? F(1e30) : x;
  return below < F(-1e30) ? F(-1e30) : below;
}

template <class F, class Tile>
void find_maxima(const Tile& tile, const Arrays<F>& a, RowStats<F>& r) {
  PerLane<F> max_s, max_t, poison = {};
  for (int lane = 0; lane < kLanes; ++lane)
    max_s[lane] = max_t[lane] = std::numeric_limits<F>::lowest();
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const F s = a.zs[i + lane], t = a.zt[i + lane];
      max_s[lane] = s > max_s[lane] ? s : max_s[lane];
      max_t[lane] = t > max_t[lane] ? t : max_t[lane];
      poison[lane] += s * F(0) + t * F(0);
    }
  }
  tile.max_lanes(max_s);
  tile.max_lanes(max_t);
  tile.sum_lanes(poison);
  for (int lane = 0; lane < kLanes; ++lane) {
    r.max_s[lane] = max_s[lane];
    r.max_t[lane] = max_t[lane];
    r.raise[lane] = 0;
    const Difference<F> gap = exact_difference(max_t[lane], max_s[lane]);
    r.max_gap[lane] = gap.value;
    r.max_gap_lost[lane] = gap.lost;
    r.poison[lane] = poison[lane];
  }
}

template <bool kRepeat, bool kOwnCe, class F, class Tile>
void sum_exponentials(const Tile& tile, const Arrays<F>& a, F inv_tau, RowStats<F>& r) {
  LaneSum<F> total_e, total_y, total_c;
  PerLane<F> risk = {};
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    PerLane<F> sum_e = {}, sum_y = {}, sum_c = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F zs = a.zs[i + lane], zt = a.zt[i + lane];
        const F z = zs - r.max_s[lane], s = z * inv_tau;
        const Difference<F> gap = exact_difference(zt, zs);
        const F gap_less_max = (gap.value - r.max_gap[lane]) + (gap.lost - r.max_gap_lost[lane]);
        const F d = bounded(gap_less_max * inv_tau - r.raise[lane]);
        const F heavy = s < F(-46) ? s + d + F(46) : d;  // above 16: d > 16 and pt > e^-30
        const F e = math::exp(s);
        F y = e * math::expm1(d > F(80) ? F(80) : d);
        if constexpr (kRepeat) {
          const F t = (zt - r.max_t[lane]) * inv_tau - r.raise[lane];
          const F direct = math::exp(t) - e;
          y = heavy > F(16) ? direct : y;
        }
        a.d[i + lane] = d;
        a.e[i + lane] = e;
        a.y[i + lane] = y;
        sum_e[lane] += e;
        sum_y[lane] += y;
        risk[lane] = heavy > risk[lane] ? heavy : risk[lane];
        if constexpr (kOwnCe) {
          const F c = math::exp(z);
          a.c[i + lane] = c;
          sum_c[lane] += c;
        }
      }
    }
    total_e.add(sum_e);
    total_y.add(sum_y);
    if constexpr (kOwnCe) total_c.add(sum_c);
  });
  tile.sum_lanes(total_e.total);
  tile.sum_lanes(total_y.total);
  tile.sum_lanes(total_c.total);
  tile.max_lanes(risk);
  for (int lane = 0; lane < kLanes; ++lane) {
    r.sum_e[lane] = total_e.total[lane];
    r.sum_y[lane] = total_y.total[lane];
    r.sum_c[lane] = kOwnCe ? total_c.total[lane] : total_e.total[lane];
    r.risk[lane] = risk[lane];
  }
}

// Changes `raise` for rows whose A is close to -1; true when there is one.
template <class F>
bool improve_raise(RowStats<F>& r) {
  bool changed = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const F ratio = (r.sum_e[lane] + r.sum_y[lane]) / r.sum_e[lane];
    if (!(ratio < F(0.125))) continue;
    r.raise[lane] += math::log(ratio > F(0x1p-20) ? ratio : F(0x1p-20));
    changed = true;
  }
  return changed;
}

template <class F>
bool any_at_risk(const RowStats<F>& r) {
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any |= r.risk[lane] > F(16);
  return any;
}

template <bool kOwnCe, class F, class Tile>
void exponentials(const Tile& tile, const Arrays<F>& a, F inv_tau, RowStats<F>& r) {
  sum_exponentials<false, kOwnCe>(tile, a, inv_tau, r);
  bool repeat = any_at_risk(r);
  for (int attempt = 1; attempt < kAttempts; ++attempt) {
    repeat |= improve_raise(r);
    if (!repeat) return;
    sum_exponentials<true, kOwnCe>(tile, a, inv_tau, r);
    repeat = false;
  }
}

// kl = KL of each row; zs becomes the gradient but for the label's term.
template <class F, class Tile>
void finish(const Tile& tile, const Arrays<F>& a, const Weights<F>& w, const RowStats<F>& r,
            LaneSum<F>& kl) {
  PerLane<F> A, k, log_sums, grad_ce;
  for (int lane = 0; lane < kLanes; ++lane) {
    A[lane] = r.sum_y[lane] / r.sum_e[lane];
    k[lane] = F(1) / (r.sum_e[lane] + r.sum_y[lane]) + r.poison[lane];
    log_sums[lane] = math::log1p(A[lane]);
    grad_ce[lane] = w.grad_ce / r.sum_c[lane];
  }
  const F* c = own_ce(w) ? a.c : a.e;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    PerLane<F> sum = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F e = a.e[i + lane], y = a.y[i + lane];
        const F u = a.d[i + lane] - log_sums[lane];
        const F ps_minus_pt = k[lane] * math::fma(A[lane], e, -y);
        const F pt = k[lane] * (e + y);
        const F near = pt * (u * u) * math::exp_remainder(-u);
        const F far = math::fma(pt, u, ps_minus_pt);
        const F positive = far < F(0) ? F(0) : far;  // rounding may have crossed 0; NaN stays
        sum[lane] += u * u < F(0.12) ? near : positive;
        a.zs[i + lane] = math::fma(w.grad_kd, ps_minus_pt, grad_ce[lane] * c[i + lane]);
      }
    }
    kl.add(sum);
  });
  tile.sum_lanes(kl.total);
}

/// Rows at student and teacher (T), with kCarefulArrays arrays of scratch. Returns the gradient but
/// for the labels' terms, in scratch.
inline constexpr int kCarefulArrays = 6;
template <class F, class Tile, class T>
F* careful(const Tile& tile, F* scratch, const T* student, const T* teacher, const Weights<F>& w,
           RowResult<F>& out) {
  const std::int64_t size = tile.size();
  const Arrays<F> a = {
      scratch,           scratch + size, scratch + 2 * size, scratch + 3 * size, scratch + 4 * size,
      scratch + 5 * size};
  tile.load(a.zs, student);
  tile.load(a.zt, teacher);
  RowStats<F> r;
  find_maxima(tile, a, r);
  if (own_ce(w))
    exponentials<true>(tile, a, w.inv_tau, r);
  else
    exponentials<false>(tile, a, w.inv_tau, r);
  LaneSum<F> kl;
  finish(tile, a, w, r, kl);
  for (int lane = 0; lane < kLanes; ++lane) {
    out.kl[lane] = kl.total[lane];
    out.max_s[lane] = r.max_s[lane];
    out.sum_c[lane] = r.sum_c[lane];
    out.poison[lane] = r.poison[lane];
  }
  return a.zs;
}

}  // namespace limbeck::cpu::kd
