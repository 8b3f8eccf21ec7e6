// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the divergence over the outcomes of a tile of rows.
#pragma once

#include <limbeck/kernels/kd_topk_outcome.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu::kd_topk {

using namespace limbeck::kd_topk;

/// Of each outcome, as elements of a tile.
template <class F>
struct Outcomes {
  F *s, *t, *d;
  F *e, *y;  ///< y becomes ps - pt
  F* z;      ///< the student's logit less the row's largest, -inf for the rest; becomes its exp
};

// Lanes without a row, and what is beyond the end of a long one, weigh nothing.
template <class F, class Tile>
void clear(const Tile& tile, const Outcomes<F>& o) {
  for (std::int64_t i = 0; i < tile.size(); ++i) {
    o.s[i] = o.t[i] = F(-divergence::kUnbounded);
    o.d[i] = 0;
    o.z[i] = -std::numeric_limits<F>::infinity();
  }
}

template <class F>
struct Sums {
  F e[kLanes], y[kLanes];
};

template <class F, class Tile>
void sum_weights(const Tile& tile, const Outcomes<F>& o, const F (&raise)[kLanes], Sums<F>& sums) {
  LaneSum<F> total_e, total_y;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    F sum_e[kLanes] = {}, sum_y[kLanes] = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const Weights<F> w =
            weights(Outcome<F>{o.s[i + lane], o.t[i + lane], o.d[i + lane]}, raise[lane]);
        o.e[i + lane] = w.e;
        o.y[i + lane] = w.y;
        sum_e[lane] += w.e;
        sum_y[lane] += w.y;
      }
    }
    total_e.add(sum_e);
    total_y.add(sum_y);
  });
  tile.sum_lanes(total_e.total);
  tile.sum_lanes(total_y.total);
  for (int lane = 0; lane < kLanes; ++lane) {
    sums.e[lane] = total_e.total[lane];
    sums.y[lane] = total_y.total[lane];
  }
}

/// kl = KL(teacher || student) of each row.
template <class F, class Tile>
void solve(const Tile& tile, const Outcomes<F>& o, F (&kl)[kLanes]) {
  F raise[kLanes] = {};
  Sums<F> sums;
  sum_weights(tile, o, raise, sums);
  bool again = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    raise[lane] = better_raise(sums.e[lane], sums.y[lane]);
    again |= raise[lane] != F(0);
  }
  if (again) sum_weights(tile, o, raise, sums);
  F A[kLanes], k[kLanes], log_sums[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    A[lane] = sums.y[lane] / sums.e[lane];
    k[lane] = F(1) / (sums.e[lane] + sums.y[lane]);
    log_sums[lane] = math::log1p(A[lane]) + raise[lane];
  }
  LaneSum<F> total;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    F sum[kLanes] = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const Share<F> c = share(Weights<F>{o.e[i + lane], o.y[i + lane]}, o.d[i + lane], A[lane],
                                 k[lane], log_sums[lane]);
        sum[lane] += c.kl;
        o.y[i + lane] = c.ps_minus_pt;
      }
    }
    total.add(sum);
  });
  tile.sum_lanes(total.total);
  for (int lane = 0; lane < kLanes; ++lane) kl[lane] = total.total[lane];
}

}  // namespace limbeck::cpu::kd_topk
