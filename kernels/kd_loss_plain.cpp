// SPDX-License-Identifier: Apache-2.0
// CPU: KL and cross-entropy of a tile whose logits are as logits mostly are, with few operations;
// it tells when that is not good enough.
#include <limbeck/kernels/kd_loss_tile.h>

namespace limbeck::cpu::kd {
namespace {

// As in kd_loss_exponentials.h without `raise`: d = ((zt - zs) - (max zt - max zs))/tau, its
// differences exact, e = exp((zs - max zs)/tau), y = e expm1(d), A = sum y / sum e and
// k = 1 / (sum e + sum y); ps - pt = k (A e - y). As pt = k (e + y) sums to 1,
//   KL = sum pt (d - log1p(A)) = k sum (e + y) d - log1p(A),
// which needs nothing per element after the sums, and has digits enough unless the models are
// close. What is not good enough is seen:
// - d above kMaxD, or A close to -1: e + y would lose digits;
// - a logit that is not finite: then sum (e + y) d is not.
constexpr int kMaxD = 16;
// KL loses half an ulp of each of its terms and of log1p(A): it is at least 1 / kMaxCancelled of
// them, or it is summed again in a form in which nothing cancels.
constexpr int kMaxCancelled = 10;

template <class F>
struct Stats {
  PerLane<F> max_s, max_t, shift, shift_lost;  // max_t - max_s
  PerLane<F> top_gap;                          // the largest zt - zs
  PerLane<F> sum_e, sum_y, sum_c;
  PerLane<F> sum_d, sum_abs_d;  // of (e + y) d
};

template <class F>
struct Arrays {
  F *e, *y, *c;        // c where kPower is 0: exp(zs - max zs)
  F* e_rest;           // e from element `whole` on
  std::int64_t whole;  // where the last, incomplete step of a long row begins

  F* e_block(std::int64_t begin) const { return (begin < whole ? e : e_rest) + begin; }
};

/// Up to this many elements, what is computed of a row and the next rows fit in a core's cache
/// together.
constexpr std::int64_t kMaxAhead = 50000;

template <class F>
[[gnu::always_inline]] inline F log_gap(const Stats<F>& r, int lane, F zs, F zt, F inv_tau) {
  const F gap = zt - zs, minus_zs = gap - zt;
  const F lost = (zt - (gap - minus_zs)) - (zs + minus_zs);
  return ((gap - r.shift[lane]) + (lost - r.shift_lost[lane])) * inv_tau;
}

/// exp(zs - max zs), which the cross-entropy needs, from e = exp((zs - max zs)/tau) for tau = 1, 2
/// or 4.
template <int kPower, class F>
[[gnu::always_inline]] inline F unheated(F e) {
  if constexpr (kPower == 1) return e;
  if constexpr (kPower == 2) return e * e;
  const F square = e * e;
  return square * square;
}

template <class F, class Tile>
void find_stats(const Tile& tile, const LogitRows<F>& student, const LogitRows<F>& teacher,
                Stats<F>& r) {
  PerLane<F> max_s, max_t, top_gap;
  for (int lane = 0; lane < kLanes; ++lane)
    max_s[lane] = max_t[lane] = top_gap[lane] = std::numeric_limits<F>::lowest();
  for_each_block(tile, [&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin), *zt = teacher.block(begin);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F s = zs[i + lane], t = zt[i + lane], gap = t - s;
        max_s[lane] = s > max_s[lane] ? s : max_s[lane];
        max_t[lane] = t > max_t[lane] ? t : max_t[lane];
        top_gap[lane] = gap > top_gap[lane] ? gap : top_gap[lane];
      }
    }
  });
  tile.max_lanes(max_s);
  tile.max_lanes(max_t);
  tile.max_lanes(top_gap);
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) {
    const F s = r.max_s[lane] = max_s[lane], t = r.max_t[lane] = max_t[lane];
    const F shift = t - s, minus_s = shift - t;
    r.shift[lane] = shift;
    r.shift_lost[lane] = (t - (shift - minus_s)) - (s + minus_s);
    r.top_gap[lane] = top_gap[lane];
  }
}

template <int kPower, class F, class Tile>
void sum_exponentials(const Tile& tile, const LogitRows<F>& student, const LogitRows<F>& teacher,
                      const Arrays<F>& a, const Ahead& output, F inv_tau, Stats<F>& r) {
  LaneSum<F> total_e, total_y, total_c, total_d, total_abs_d;
  for_each_block(tile, [&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin), *zt = teacher.block(begin);
    F *e = a.e_block(begin), *y = a.y + begin, *c = a.c + begin;
    PerLane<F> sum_e = {}, sum_y = {}, sum_c = {}, sum_d = {}, sum_abs_d = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F z = zs[i + lane] - r.max_s[lane];
        const F d = log_gap(r, lane, zs[i + lane], zt[i + lane], inv_tau);
        const F es = math::quick_exp(z * inv_tau);
        const F ys = es * math::quick_expm1(d), et = es + ys;
        F cs;
        if constexpr (kPower == 0)
          c[i + lane] = cs = math::quick_exp(z);
        else
          cs = unheated<kPower>(es);
        e[i + lane] = es;
        y[i + lane] = ys;
        sum_e[lane] += es;
        sum_y[lane] += ys;
        sum_c[lane] += cs;
        sum_d[lane] = math::fma(et, d, sum_d[lane]);
        sum_abs_d[lane] = math::fma(et, d < F(0) ? -d : d, sum_abs_d[lane]);
      }
    }
    if (tile.size() <= kMaxAhead) {
      student.next.template prefetch<false>(begin, end);
      teacher.next.template prefetch<false>(begin, end);
      output.template prefetch<true>(begin, end);
    }
    total_e.add(sum_e);
    total_y.add(sum_y);
    total_c.add(sum_c);
    total_d.add(sum_d);
    total_abs_d.add(sum_abs_d);
  });
  const auto keep = [&tile](LaneSum<F>& from, PerLane<F>& to) {
    tile.sum_lanes(from.total);
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = from.total[lane];
  };
  keep(total_e, r.sum_e);
  keep(total_y, r.sum_y);
  keep(total_c, r.sum_c);
  keep(total_d, r.sum_d);
  keep(total_abs_d, r.sum_abs_d);
}

template <class F>
struct Norms {
  PerLane<F> A, k, log_sums;
  PerLane<F> log_sum_c, inv_sum_c;
};

/// kl, and which rows have enough digits in `kl`, and which in anything.
template <class F>
void close_sums(const Stats<F>& r, F inv_tau, Norms<F>& norms, PerLane<F>& kl,
                PerLane<bool>& kl_good, PerLane<bool>& good) {
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) {
    const F A = norms.A[lane] = r.sum_y[lane] / r.sum_e[lane];
    const F k = norms.k[lane] = F(1) / (r.sum_e[lane] + r.sum_y[lane]);
    const F log_sums = norms.log_sums[lane] = math::log1p(A);
    norms.log_sum_c[lane] = math::log(r.sum_c[lane]);
    norms.inv_sum_c[lane] = F(1) / r.sum_c[lane];
    kl[lane] = math::fma(k, r.sum_d[lane], -log_sums);
    const F terms = math::fma(k, r.sum_abs_d[lane], log_sums < F(0) ? -log_sums : log_sums);
    kl_good[lane] = terms <= F(kMaxCancelled) * kl[lane];
    good[lane] = ((r.top_gap[lane] - r.shift[lane]) * inv_tau <= F(kMaxD)) & (A >= F(-0.875)) &
                 (r.sum_d[lane] - r.sum_d[lane] == F(0));
  }
}

/// KL of each row, as a sum of which no term is negative.
template <class F, class Tile>
void sum_kl(const Tile& tile, const LogitRows<F>& student, const LogitRows<F>& teacher,
            const Arrays<F>& a, F inv_tau, const Stats<F>& r, const Norms<F>& norms,
            LaneSum<F>& kl) {
  for_each_block(tile, [&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin), *zt = teacher.block(begin);
    const F *e = a.e_block(begin), *y = a.y + begin;
    PerLane<F> sum = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F d = log_gap(r, lane, zs[i + lane], zt[i + lane], inv_tau);
        const F ps_minus_pt = norms.k[lane] * math::fma(norms.A[lane], e[i + lane], -y[i + lane]);
        const F pt = norms.k[lane] * (e[i + lane] + y[i + lane]);
        sum[lane] +=
            divergence::kl_term(pt, ps_minus_pt, divergence::bounded(d) - norms.log_sums[lane]);
      }
    }
    kl.add(sum);
  });
  tile.sum_lanes(kl.total);
}

/// The gradient of element i of a tile but for the label's term.
template <int kPower, class F>
[[gnu::always_inline]] inline F gradient_of(const Arrays<F>& a, F e, F grad_kd, F grad_ce, F A, F k,
                                            std::int64_t i) {
  const F ps_minus_pt = k * math::fma(A, e, -a.y[i]);
  F c;
  if constexpr (kPower == 0)
    c = a.c[i];
  else
    c = unheated<kPower>(e);
  return math::fma(grad_kd, ps_minus_pt, grad_ce * c);
}

/// Writes the first tile.V elements of a long row, all of a tile of short ones.
template <int kPower, class F, class Tile>
void write_gradient(const Tile& tile, const Arrays<F>& a, const Weights<F>& w,
                    const Norms<F>& norms, F* gradient) {
  PerLane<F> A, k, grad_ce;
  const F grad_kd = w.grad_forward_kl;
  for (int lane = 0; lane < kLanes; ++lane) {
    A[lane] = norms.A[lane];
    k[lane] = norms.k[lane];
    grad_ce[lane] = w.grad_ce * norms.inv_sum_c[lane];
  }
  for (std::int64_t i = 0; i < a.whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane)
      gradient[i + lane] =
          gradient_of<kPower>(a, a.e[i + lane], grad_kd, grad_ce[lane], A[lane], k[lane], i + lane);
  }
  for (std::int64_t i = a.whole; Tile::kRows == 1 && i < tile.V; ++i)
    gradient[i] = gradient_of<kPower>(a, a.e_rest[i], grad_kd, grad_ce[0], A[0], k[0], i);
}

template <int kPower, class F, class Tile>
void compute(const Tile& tile, const LogitRows<F>& student, const LogitRows<F>& teacher,
             const Arrays<F>& a, F* gradient, const Ahead& output, const Weights<F>& w,
             RowResult<F>& out, PerLane<bool>& good) {
  Stats<F> r;
  find_stats(tile, student, teacher, r);
  sum_exponentials<kPower>(tile, student, teacher, a, output, w.inv_tau, r);
  Norms<F> norms;
  PerLane<bool> kl_good;
  close_sums(r, w.inv_tau, norms, out.soft, kl_good, good);
  bool all_good = true;
  for (int lane = 0; lane < kLanes; ++lane) all_good &= kl_good[lane];
  if (!all_good) {
    LaneSum<F> kl;
    sum_kl(tile, student, teacher, a, w.inv_tau, r, norms, kl);
    for (int lane = 0; lane < kLanes; ++lane)
      out.soft[lane] = kl_good[lane] ? out.soft[lane] : kl.total[lane];
  }
  if (gradient != nullptr && (good[0] || Tile::kRows > 1))
    write_gradient<kPower>(tile, a, w, norms, gradient);
  for (int lane = 0; lane < kLanes; ++lane) {
    out.soft[lane] *= w.row.forward_kl;
    out.max_s[lane] = r.max_s[lane];
    out.log_sum_c[lane] = norms.log_sum_c[lane];
    out.poison[lane] = F(0);
  }
}

}  // namespace

template <class F, bool kLong>
void plain(const RowTile<kLong>& tile, F* scratch, F* gradient, const Ahead& output,
           const LogitRows<F>& student, const LogitRows<F>& teacher, const Weights<F>& w,
           RowResult<F>& out, PerLane<bool>& good) {
  const std::int64_t size = tile.size();
  const bool apart = kLong && gradient != nullptr && gradient != student.in_place &&
                     gradient != scratch + size;  // the output's own memory
  const Arrays<F> a = {apart ? gradient : scratch, scratch + size, scratch + 2 * size, scratch,
                       kLong ? tile.V / kLanes * kLanes : size};
  simd([&](auto) {
    if (!w.with_ce || w.tau == F(1))
      compute<1>(tile, student, teacher, a, gradient, output, w, out, good);
    else if (w.tau == F(2))
      compute<2>(tile, student, teacher, a, gradient, output, w, out, good);
    else if (w.tau == F(4))
      compute<4>(tile, student, teacher, a, gradient, output, w, out, good);
    else
      compute<0>(tile, student, teacher, a, gradient, output, w, out, good);
  });
}

template void plain(const RowTile<false>&, float*, float*, const Ahead&, const LogitRows<float>&,
                    const LogitRows<float>&, const Weights<float>&, RowResult<float>&,
                    PerLane<bool>&);
template void plain(const RowTile<true>&, float*, float*, const Ahead&, const LogitRows<float>&,
                    const LogitRows<float>&, const Weights<float>&, RowResult<float>&,
                    PerLane<bool>&);
template void plain(const RowTile<false>&, double*, double*, const Ahead&, const LogitRows<double>&,
                    const LogitRows<double>&, const Weights<double>&, RowResult<double>&,
                    PerLane<bool>&);
template void plain(const RowTile<true>&, double*, double*, const Ahead&, const LogitRows<double>&,
                    const LogitRows<double>&, const Weights<double>&, RowResult<double>&,
                    PerLane<bool>&);

}  // namespace limbeck::cpu::kd
