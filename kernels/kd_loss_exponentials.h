// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the exponentials and sums of a tile of rows of any logits whatever.
#pragma once

#include <limits>

#include <limbeck/kernels/kd_loss_tile.h>

namespace limbeck::cpu::kd {

// With s = (zs - max zs)/tau, t = (zt - max zt)/tau - raise for any number `raise` of the row,
// d = t - s, e = exp(s) and y = e expm1(d):
//   A = sum y / sum e,   k = 1 / (sum e + sum y),   u = d - log1p(A) = log pt - log ps,
//   ps = e / sum e,   pt = k (e + y),   ps - pt = k (A e - y).
// Nothing cancels when the models agree, and pass one needs two exponentials per element, pass two
// none. It loses digits when A is close to -1: the row is repeated with a better `raise`. And where
// e is tiny under a large pt: there the repeat takes y = exp(t) - e.
inline constexpr int kAttempts = 4;

template <class F>
struct Arrays {
  F *zs, *zt, *d, *e, *y, *c, *spare;
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
struct Stats {
  PerLane<F> max_s, max_t, raise;
  PerLane<F> max_gap, max_gap_lost;  // max_t - max_s
  PerLane<F> poison;
  PerLane<F> sum_e, sum_y, sum_c, risk;
};

template <class F>
inline constexpr F kLowest = std::numeric_limits<F>::lowest();

// A masked class, -inf, becomes the lowest number: its probability is 0 and its differences finite.
template <class F, class Tile>
void find_maxima(const Tile& tile, const Arrays<F>& a, Stats<F>& r) {
  PerLane<F> max_s, max_t, poison = {};
  for (int lane = 0; lane < kLanes; ++lane) max_s[lane] = max_t[lane] = kLowest<F>;
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const F s = a.zs[i + lane] < kLowest<F> ? kLowest<F> : a.zs[i + lane];
      const F t = a.zt[i + lane] < kLowest<F> ? kLowest<F> : a.zt[i + lane];
      a.zs[i + lane] = s;
      a.zt[i + lane] = t;
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

// (zt - max zt)/tau - raise - (zs - max zs)/tau for logits in `lane`.
template <class F>
F log_gap(const Stats<F>& r, int lane, F zs, F zt, F inv_tau) {
  const Difference<F> gap = exact_difference(zt, zs);
  const F gap_less_max = (gap.value - r.max_gap[lane]) + (gap.lost - r.max_gap_lost[lane]);
  return divergence::bounded(gap_less_max * inv_tau - r.raise[lane]);
}

template <bool kRepeat, bool kOwnCe, class F, class Tile>
void sum_exponentials(const Tile& tile, const Arrays<F>& a, F inv_tau, Stats<F>& r) {
  LaneSum<F> total_e, total_y, total_c;
  PerLane<F> risk = {};
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    PerLane<F> sum_e = {}, sum_y = {}, sum_c = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F zs = a.zs[i + lane], zt = a.zt[i + lane];
        const F z = zs - r.max_s[lane];
        const F d = log_gap(r, lane, zs, zt, inv_tau);
        const F t = (zt - r.max_t[lane]) * inv_tau - r.raise[lane];
        const F heavy = t > F(-30) ? d : F(0);  // above 16, e may have lost what pt needs
        const F e = math::exp(z * inv_tau);
        F y = e * math::expm1(d > F(80) ? F(80) : d);
        if constexpr (kRepeat) {
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
bool improve_raise(Stats<F>& r) {
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
bool any_at_risk(const Stats<F>& r) {
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) any |= r.risk[lane] > F(16);
  return any;
}

template <bool kOwnCe, class F, class Tile>
void exponentials(const Tile& tile, const Arrays<F>& a, F inv_tau, Stats<F>& r) {
  sum_exponentials<false, kOwnCe>(tile, a, inv_tau, r);
  bool repeat = any_at_risk(r);
  for (int attempt = 1; attempt < kAttempts; ++attempt) {
    repeat |= improve_raise(r);
    if (!repeat) return;
    sum_exponentials<true, kOwnCe>(tile, a, inv_tau, r);
    repeat = false;
  }
}

}  // namespace limbeck::cpu::kd
