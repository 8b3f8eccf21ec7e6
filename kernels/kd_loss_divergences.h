// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: divergences and their gradient from the exponentials of a tile of rows.
#pragma once

#include <limbeck/kernels/kd_loss_exponentials.h>

namespace limbeck::cpu::kd {

// What turns the arrays into probabilities, per row.
template <class F>
struct Norms {
  PerLane<F> A, k, inv_e, log_sums;
  explicit Norms(const Stats<F>& r) {
    for (int lane = 0; lane < kLanes; ++lane) {
      A[lane] = r.sum_y[lane] / r.sum_e[lane];
      k[lane] = F(1) / (r.sum_e[lane] + r.sum_y[lane]) + r.poison[lane];
      inv_e[lane] = F(1) / r.sum_e[lane] + r.poison[lane];
      log_sums[lane] = math::log1p(A[lane]);
    }
  }
  divergence::ClassTerms<F> terms(const Arrays<F>& a, std::int64_t i, int lane) const {
    const F e = a.e[i + lane], y = a.y[i + lane];
    return {e * inv_e[lane], k[lane] * (e + y), k[lane] * math::fma(A[lane], e, -y),
            a.d[i + lane] - log_sums[lane]};
  }
};

// soft = the row's divergences; d becomes h of divergence::share, mean_h its mean under ps.
template <bool kJsd, class F, class Tile>
void sum_divergences(const Tile& tile, const Arrays<F>& a, const Norms<F>& norms,
                     const divergence::Weights<F>& w, PerLane<F>& soft, PerLane<F>& mean_h) {
  LaneSum<F> loss, h;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    PerLane<F> sum_loss = {}, sum_h = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const divergence::ClassTerms<F> c = norms.terms(a, i, lane);
        const divergence::Share<F> share = divergence::share<kJsd>(c, w);
        a.d[i + lane] = share.h;
        sum_loss[lane] += share.loss;
        sum_h[lane] = math::fma(c.ps, share.h, sum_h[lane]);
      }
    }
    loss.add(sum_loss);
    h.add(sum_h);
  });
  tile.sum_lanes(loss.total);
  tile.sum_lanes(h.total);
  for (int lane = 0; lane < kLanes; ++lane) {
    soft[lane] = loss.total[lane];
    mean_h[lane] = h.total[lane];
  }
}

// zs becomes the gradient but for the label's term of the cross-entropy.
template <class F, class Tile>
void write_gradient(const Tile& tile, const Arrays<F>& a, const Norms<F>& norms,
                    const Weights<F>& w, const Stats<F>& r, const PerLane<F>& mean_h) {
  PerLane<F> grad_ce;
  for (int lane = 0; lane < kLanes; ++lane) grad_ce[lane] = w.grad_ce / r.sum_c[lane];
  const F* c = w.with_ce && w.tau != F(1) ? a.c : a.e;
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const divergence::ClassTerms<F> terms = norms.terms(a, i, lane);
      const F others = w.grad_soft * terms.ps * (a.d[i + lane] - mean_h[lane]);
      a.zs[i + lane] = math::fma(w.grad_forward_kl, terms.ps_minus_pt,
                                 math::fma(grad_ce[lane], c[i + lane], others));
    }
  }
}

}  // namespace limbeck::cpu::kd
