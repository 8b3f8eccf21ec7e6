// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the distillation loss of a tile whose logits are as logits mostly are, with few
// operations; it tells when that is not good enough.
#pragma once

#include <type_traits>

#include <limbeck/kernels/kd_loss_tile.h>

namespace limbeck::cpu::kd {

// With s = (zs - max zs)/tau, d = ((zt - zs) - (max zt - max zs))/tau, e = exp(s), y = e expm1(d):
//   A = sum y / sum e,   k = 1 / (sum e + sum y),   u = d - log1p(A) = log pt - log ps,
//   ps - pt = k (A e - y),   pt = k (e + y),   KL = sum pt (expm1(-u) + u).
// Nothing cancels when the models agree. What can spoil it is seen:
// - a logit that is not finite;
// - d above kMaxD, or A close to -1: e + y would lose digits;
// - a shift common to all logits, max zt - max zs: each zt - zs is rounded by up to half an ulp of
//   it, which costs ps - pt up to that times k (e + y) / tau. Only an element that is the largest
//   of both rows is free of it, because its d is exactly 0.
constexpr int kMaxD = 16;
// shift (e + y) / tau may be this many times the largest |A e - y|: zt - zs and the shift itself
// are rounded, so the gradient loses up to 2 * 8 half-ulp, 1e-6 in f32.
constexpr int kMaxShift = 8;

/// Rows at x as the elements of a tile: x itself where that will do, else a copy in `staged`.
template <class F, class T, bool kLong, int kWidth>
class Rows {
 public:
  Rows(const RowTile<kLong, kWidth>& tile, const T* x, F* staged)
      : x_(x), staged_(staged), V_(tile.V) {
    tile.load(staged, x, std::numeric_limits<F>::lowest(),
              kDirect ? tile.V / kBlockElements * kBlockElements : 0);
  }
  /// Elements [begin, end), one block of the tile.
  const F* block(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      if (end <= V_) return x_ + begin;
    return staged_ + begin;
  }
  /// Asks for the same block of the row after this one.
  void prefetch_next(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      for (std::int64_t i = begin; i < end; i += kLanes) __builtin_prefetch(x_ + V_ + i, 0, 2);
  }

 private:
  static constexpr bool kDirect = kLong && std::is_same_v<F, T>;
  const T* x_;
  F* staged_;
  std::int64_t V_;
};

template <class F>
struct PlainStats {
  PerLane<F> max_s, max_t, shift;  // shift = max_t - max_s
  PerLane<F> top_gap;              // the largest zt - zs
  PerLane<F> poison;
  PerLane<F> sum_e, sum_y, sum_c;
  PerLane<F> top_change, top_rounded;  // the largest |A e - y|, and e + y where d is rounded
};

template <class F, class Tile, class Rows>
void find_stats(const Tile& tile, const Rows& student, const Rows& teacher, PlainStats<F>& r) {
  PerLane<F> max_s, max_t, top_gap, poison = {};
  for (int lane = 0; lane < kLanes; ++lane)
    max_s[lane] = max_t[lane] = top_gap[lane] = std::numeric_limits<F>::lowest();
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin, end), *zt = teacher.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F s = zs[i + lane], t = zt[i + lane], gap = t - s;
        max_s[lane] = s > max_s[lane] ? s : max_s[lane];
        max_t[lane] = t > max_t[lane] ? t : max_t[lane];
        top_gap[lane] = gap > top_gap[lane] ? gap : top_gap[lane];
        poison[lane] = math::fma(s, F(0), math::fma(t, F(0), poison[lane]));
      }
    }
  });
  tile.max_lanes(max_s);
  tile.max_lanes(max_t);
  tile.max_lanes(top_gap);
  tile.sum_lanes(poison);
  for (int lane = 0; lane < kLanes; ++lane) {
    r.max_s[lane] = max_s[lane];
    r.max_t[lane] = max_t[lane];
    r.shift[lane] = max_t[lane] - max_s[lane];
    r.top_gap[lane] = top_gap[lane];
    r.poison[lane] = poison[lane];
  }
}

/// exp(zs - max zs), which the cross-entropy needs, from e = exp((zs - max zs)/tau) as e^1, e^2 or
/// e^4, by factors of 1 and 0: a choice inside the loop would keep it from being vectorised.
template <class F>
struct Unheated {
  F square, fourth;
  explicit Unheated(F tau) : square(tau == F(2) || tau == F(4)), fourth(tau == F(4)) {}
  static bool is_power(F tau) { return tau == F(1) || tau == F(2) || tau == F(4); }
  [[gnu::always_inline]] F operator()(F e) const {
    const F power = e * math::fma(e, square, F(1) - square);
    return power * math::fma(power, fourth, F(1) - fourth);
  }
};

template <class F>
struct PlainArrays {
  F *e, *y, *c;  // c where kOwnCe: exp(zs - max zs)
};

template <bool kOwnCe, class F, class Tile, class Rows>
void sum_plain_exponentials(const Tile& tile, const Rows& student, const Rows& teacher,
                            const PlainArrays<F>& a, const Weights<F>& w, PlainStats<F>& r) {
  const F inv_tau = w.inv_tau;
  const Unheated<F> unheated(w.tau);
  LaneSum<F> total_e, total_y, total_c;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin, end), *zt = teacher.block(begin, end);
    F *e = a.e + begin, *y = a.y + begin, *c = a.c + begin;
    PerLane<F> sum_e = {}, sum_y = {}, sum_c = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F z = zs[i + lane] - r.max_s[lane];
        const F d = ((zt[i + lane] - zs[i + lane]) - r.shift[lane]) * inv_tau;
        const F es = math::exp_of_moderate(z * inv_tau);
        const F ys = es * math::expm1_of_moderate(d);
        F cs;
        if constexpr (kOwnCe)
          c[i + lane] = cs = math::exp_of_moderate(z);
        else
          cs = unheated(es);
        e[i + lane] = es;
        y[i + lane] = ys;
        sum_e[lane] += es;
        sum_y[lane] += ys;
        sum_c[lane] += cs;
      }
    }
    student.prefetch_next(begin, end);
    teacher.prefetch_next(begin, end);
    total_e.add(sum_e);
    total_y.add(sum_y);
    total_c.add(sum_c);
  });
  tile.sum_lanes(total_e.total);
  tile.sum_lanes(total_y.total);
  tile.sum_lanes(total_c.total);
  for (int lane = 0; lane < kLanes; ++lane) {
    r.sum_e[lane] = total_e.total[lane];
    r.sum_y[lane] = total_y.total[lane];
    r.sum_c[lane] = total_c.total[lane];
  }
}

/// kl = KL of each row; y becomes the gradient but for the label's term.
template <bool kOwnCe, class F, class Tile, class Rows>
void finish_plain(const Tile& tile, const Rows& student, const Rows& teacher,
                  const PlainArrays<F>& a, const Weights<F>& w, PlainStats<F>& r, LaneSum<F>& kl) {
  const F inv_tau = w.inv_tau, grad_kd = w.grad_forward_kl;
  const Unheated<F> unheated(w.tau);
  PerLane<F> A, k, log_sums, grad_ce, top_change = {}, top_rounded = {};
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) {
    A[lane] = r.sum_y[lane] / r.sum_e[lane];
    k[lane] = F(1) / (r.sum_e[lane] + r.sum_y[lane]);
    log_sums[lane] = math::log1p(A[lane]);
    grad_ce[lane] = w.grad_ce / r.sum_c[lane];
  }
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *zs = student.block(begin, end), *zt = teacher.block(begin, end);
    const F *e = a.e + begin, *c = a.c + begin;
    F* y = a.y + begin;
    PerLane<F> sum = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F es = e[i + lane], ys = y[i + lane];
        const F d = ((zt[i + lane] - zs[i + lane]) - r.shift[lane]) * inv_tau;
        const F u = (d < F(-divergence::kUnbounded) ? F(-divergence::kUnbounded) : d) -
                    log_sums[lane];  // an infinite one times 0 is NaN
        const F change = math::fma(A[lane], es, -ys);
        const F ps_minus_pt = k[lane] * change;
        const F pt = k[lane] * (es + ys);
        const F near = pt * (u * u) * math::exp_remainder(-u);
        const F far = math::fma(pt, u, ps_minus_pt);
        const F positive = far < F(0) ? F(0) : far;  // rounding may have crossed 0
        sum[lane] += u * u < F(0.12) ? near : positive;
        F cs;
        if constexpr (kOwnCe)
          cs = c[i + lane];
        else
          cs = unheated(es);
        y[i + lane] = math::fma(grad_kd, ps_minus_pt, grad_ce[lane] * cs);
        const bool largest = zs[i + lane] == r.max_s[lane] && zt[i + lane] == r.max_t[lane];
        const F size = change < F(0) ? -change : change, rounded = largest ? F(0) : es + ys;
        top_change[lane] = size > top_change[lane] ? size : top_change[lane];
        top_rounded[lane] = rounded > top_rounded[lane] ? rounded : top_rounded[lane];
      }
    }
    kl.add(sum);
  });
  tile.sum_lanes(kl.total);
  tile.max_lanes(top_change);
  tile.max_lanes(top_rounded);
  for (int lane = 0; lane < kLanes; ++lane) {
    r.top_change[lane] = top_change[lane];
    r.top_rounded[lane] = top_rounded[lane];
  }
}

template <class F>
void judge(const PlainStats<F>& r, const Weights<F>& w, PerLane<bool>& good) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const F shift = r.shift[lane] < F(0) ? -r.shift[lane] : r.shift[lane];
    good[lane] = r.poison[lane] == F(0) &&
                 (r.top_gap[lane] - r.shift[lane]) * w.inv_tau <= F(kMaxD) &&
                 r.sum_y[lane] >= F(-0.875) * r.sum_e[lane] &&
                 shift * w.inv_tau * r.top_rounded[lane] <= F(kMaxShift) * r.top_change[lane];
  }
}

/// Rows at student and teacher (T), with kPlainArrays arrays of scratch. Returns the gradient but
/// for the labels' terms, in scratch; all that comes out is meant for the lanes that are `good`.
inline constexpr int kPlainArrays = 5;
template <class F, bool kLong, int kWidth, class T>
F* plain(const RowTile<kLong, kWidth>& tile, F* scratch, const T* student, const T* teacher,
         const Weights<F>& w, RowResult<F>& out, PerLane<bool>& good) {
  const std::int64_t size = tile.size();
  const PlainArrays<F> a = {scratch, scratch + size, scratch + 2 * size};
  const Rows<F, T, kLong, kWidth> zs(tile, student, scratch + 3 * size),
      zt(tile, teacher, scratch + 4 * size);
  PlainStats<F> r;
  LaneSum<F> kl;
  find_stats(tile, zs, zt, r);
  if (w.with_ce && !Unheated<F>::is_power(w.tau)) {
    sum_plain_exponentials<true>(tile, zs, zt, a, w, r);
    finish_plain<true>(tile, zs, zt, a, w, r, kl);
  } else {
    sum_plain_exponentials<false>(tile, zs, zt, a, w, r);
    finish_plain<false>(tile, zs, zt, a, w, r, kl);
  }
  judge(r, w, good);
  for (int lane = 0; lane < kLanes; ++lane) {
    out.soft[lane] = w.row.forward_kl * kl.total[lane];
    out.max_s[lane] = r.max_s[lane];
    out.sum_c[lane] = r.sum_c[lane];
    out.poison[lane] = F(0);
  }
  return a.y;
}

}  // namespace limbeck::cpu::kd
