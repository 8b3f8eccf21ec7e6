// SPDX-License-Identifier: Apache-2.0
// CPU: the distillation loss of a tile of rows, for any logits whatever and any mix of divergences.
#include <limbeck/kernels/kd_loss_decoupled.h>

namespace limbeck::cpu::kd {
namespace {

template <class F, class Tile>
void row_statistics(const Tile& tile, const Arrays<F>& a, const Norms<F>& norms, F inv_tau,
                    const Stats<F>& r, RowResult<F>& out) {
  PerLane<F> log_e, log_t;
  for (int lane = 0; lane < kLanes; ++lane) {
    log_e[lane] = math::log(r.sum_e[lane]);
    log_t[lane] = math::log(r.sum_e[lane] + r.sum_y[lane]) + r.raise[lane];
    out.student_lse[lane] = r.max_s[lane] * inv_tau + log_e[lane] + r.poison[lane];
    out.teacher_lse[lane] = r.max_t[lane] * inv_tau + log_t[lane] + r.poison[lane];
  }
  LaneSum<F> entropy_s, entropy_t;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    PerLane<F> sum_s = {}, sum_t = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const divergence::ClassTerms<F> c = norms.terms(a, i, lane);
        const F s = divergence::bounded((a.zs[i + lane] - r.max_s[lane]) * inv_tau);
        const F t = divergence::bounded((a.zt[i + lane] - r.max_t[lane]) * inv_tau);
        sum_s[lane] = math::fma(c.ps, log_e[lane] - s, sum_s[lane]);
        sum_t[lane] = math::fma(c.pt, log_t[lane] - t, sum_t[lane]);
      }
    }
    entropy_s.add(sum_s);
    entropy_t.add(sum_t);
  });
  tile.sum_lanes(entropy_s.total);
  tile.sum_lanes(entropy_t.total);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    out.student_entropy[row] = entropy_s.total[row];
    out.teacher_entropy[row] = entropy_t.total[row];
    std::int64_t top_s = 0, top_t = 0;
    while (top_s < tile.V && a.zs[tile.index(row, top_s)] != r.max_s[row]) ++top_s;
    while (top_t < tile.V && a.zt[tile.index(row, top_t)] != r.max_t[row]) ++top_t;
    out.agreement[row] = r.poison[row] == F(0) && top_s == top_t ? F(1) : F(0);
  }
}

template <class F, class Tile>
void compute(const Tile& tile, F* scratch, const Weights<F>& w, const std::int32_t* label,
             RowResult<F>& out) {
  const std::int64_t size = tile.size();
  const Arrays<F> a = {scratch,
                       scratch + size,
                       scratch + 2 * size,
                       scratch + 3 * size,
                       scratch + 4 * size,
                       scratch + 5 * size,
                       scratch + 6 * size};
  PerLane<F> dkd, mean_h;
  const bool with_dkd = w.with_dkd && label != nullptr;
  if (with_dkd) decoupled(tile, a, w, label, dkd);
  Stats<F> r;
  find_maxima(tile, a, r);
  for (int lane = 0; lane < kLanes; ++lane)
    if (r.max_s[lane] <= kLowest<F> || r.max_t[lane] <= kLowest<F>)
      r.poison[lane] = std::numeric_limits<F>::quiet_NaN();
  if (w.with_ce && w.tau != F(1))
    exponentials<true>(tile, a, w.inv_tau, r);
  else
    exponentials<false>(tile, a, w.inv_tau, r);
  const Norms<F> norms(r);
  if (w.row_stats) row_statistics(tile, a, norms, w.inv_tau, r, out);
  if (w.with_jsd)
    sum_divergences<true>(tile, a, norms, w.row, out.soft, mean_h);
  else
    sum_divergences<false>(tile, a, norms, w.row, out.soft, mean_h);
  write_gradient(tile, a, norms, w, r, mean_h);
  if (with_dkd) add_decoupled(tile, a, dkd, out);
  for (int lane = 0; lane < kLanes; ++lane) {
    out.max_s[lane] = r.max_s[lane];
    out.log_sum_c[lane] = math::log(r.sum_c[lane]);
    out.poison[lane] = r.poison[lane];
  }
}

}  // namespace

template <class F, bool kLong>
void careful(const RowTile<kLong>& tile, F* scratch, const Weights<F>& w, const std::int32_t* label,
             RowResult<F>& out) {
  simd([&](auto) { compute(tile, scratch, w, label, out); });
}

template void careful(const RowTile<false>&, float*, const Weights<float>&, const std::int32_t*,
                      RowResult<float>&);
template void careful(const RowTile<true>&, float*, const Weights<float>&, const std::int32_t*,
                      RowResult<float>&);
template void careful(const RowTile<false>&, double*, const Weights<double>&, const std::int32_t*,
                      RowResult<double>&);
template void careful(const RowTile<true>&, double*, const Weights<double>&, const std::int32_t*,
                      RowResult<double>&);

}  // namespace limbeck::cpu::kd
