// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: maximum and sum of exponentials of the rows of a tile, at a temperature.
#pragma once

#include <limbeck/kernels/tile_rows.h>

namespace limbeck::cpu {

/// Per row, sum_v exp(x_v / tau) = sum exp(max / tau). The sum is NaN when an element is NaN or
/// +inf, and 0 when all are -inf; a single -inf counts as 0. It is better than its terms, whose
/// errors cancel.
template <class F>
struct RowSoftmax {
  F max[kLanes];
  double sum[kLanes];
};

/// Comparing is free of rounding, so it may use more lanes, which hides the latency.
inline constexpr int kWideLanes = 4 * kLanes;

/// For every block of the tile, body(begin, end) gives what is then called as step(lane, i) for
/// each of its elements i, by kWideLanes lanes as long as there are so many, else by kLanes.
template <class Tile, class Body>
void for_each_wide(const Tile& tile, Body body) {
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const auto step = body(begin, end);
    std::int64_t i = 0;
    for (; i + kWideLanes <= end - begin; i += kWideLanes) {
#pragma omp simd
      for (int lane = 0; lane < kWideLanes; ++lane) step(lane, i + lane);
    }
    for (; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) step(lane, i + lane);
    }
  });
}

/// Writes r.max, and what r.sum begins with: NaN when an element is NaN, else 0.
template <class F, class Tile, class Input>
void find_max(const Tile& tile, const Input& x, RowSoftmax<F>& r) {
  F max[kWideLanes], bad[kWideLanes] = {};
  for (int lane = 0; lane < kWideLanes; ++lane) max[lane] = -std::numeric_limits<F>::infinity();
  for_each_wide(tile, [&](std::int64_t begin, std::int64_t end) {
    return [&max, &bad, in = x.block(begin, end)](int lane, std::int64_t i) {
      max[lane] = in[i] > max[lane] ? in[i] : max[lane];
      bad[lane] = in[i] != in[i] ? in[i] : bad[lane];
    };
  });
  for (int lane = kLanes; lane < kWideLanes; ++lane) {
    F& top = max[lane % kLanes];
    top = max[lane] > top ? max[lane] : top;
    bad[lane % kLanes] += bad[lane];
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    r.max[lane] = max[lane];
    r.sum[lane] = bad[lane];
  }
  tile.max_lanes(r.max);
  tile.sum_lanes(r.sum);
}

/// What to do besides adding exponentials of type F: keep them, or add them up in f64, so that the
/// sum is better than its terms, whose errors cancel.
enum class Keep { no, yes };
enum class AddIn { own, f64 };

/// Adds exp((x - r.max) / tau) to r.sum; e is where they are kept.
template <Keep kKeep, AddIn kAddIn, class F, class Tile, class Input>
void add_exponentials(const Tile& tile, const Input& x, F inv_tau, RowSoftmax<F>& r, F* e) {
  F shift[kLanes];
  for (int lane = 0; lane < kLanes; ++lane)
    shift[lane] = r.max[lane] >= std::numeric_limits<F>::lowest() ? r.max[lane] : F(0);
  using S = std::conditional_t<kAddIn == AddIn::f64, double, F>;
  LaneSum<S> total;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F* in = x.block(begin, end);
    S block[kLanes] = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const F y = math::exp_of_moderate((in[i + lane] - shift[lane]) * inv_tau);
        if constexpr (kKeep == Keep::yes) e[begin + i + lane] = y;
        block[lane] += y;
      }
    }
    x.prefetch_next(begin, end);
    total.add(block);
  });
  double sum[kLanes];
  for (int lane = 0; lane < kLanes; ++lane)
    sum[lane] = static_cast<double>(total.total[lane]) - static_cast<double>(total.lost[lane]);
  tile.sum_lanes(sum);
  for (int lane = 0; lane < kLanes; ++lane)
    r.sum[lane] += sum[lane] + static_cast<double>(shift[lane] - shift[lane]);  // NaN for +inf
}

/// One pass for the maximum, one for the sum.
template <Keep kKeep, AddIn kAddIn, class F, class Tile, class Input>
void row_softmax(const Tile& tile, const Input& x, F inv_tau, RowSoftmax<F>& r, F* e) {
  find_max(tile, x, r);
  add_exponentials<kKeep, kAddIn>(tile, x, inv_tau, r, e);
}

}  // namespace limbeck::cpu
