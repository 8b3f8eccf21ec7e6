// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: rows of a matrix as columns of 16 lanes, so that one loop serves both shapes: a
// long row lies across the lanes, 16 short rows stand in one lane each.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {

/// Fixed, whatever the vector width: sums are taken per lane, so it is part of the result.
inline constexpr int kLanes = 16;
/// Up to this many columns, 16 rows share a tile.
inline constexpr std::int64_t kShortRow = 128;

/// Steps summed plainly before a LaneSum takes them: bounds the error of any length by a few ulp.
inline constexpr std::int64_t kBlockSteps = 16;
inline constexpr std::int64_t kBlockElements = kBlockSteps * kLanes;

/// 16 compensated (Kahan) sums.
template <class F>
struct LaneSum {
  F total[kLanes] = {};
  F lost[kLanes] = {};

  void add(const F (&x)[kLanes]) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const F y = x[lane] - lost[lane];
      const F sum = total[lane] + y;
      lost[lane] = (sum - total[lane]) - y;
      total[lane] = sum;
    }
  }
};

/// A tile of one long row (kLong) or up to 16 short rows of V elements; element i = step * 16 +
/// lane of an array of size() values. kWidth floats make a vector register.
template <bool kLong, int kWidth = 4>
struct RowTile {
  static constexpr std::int64_t kRows = kLong ? 1 : kLanes;
  /// Whether rows go in and out by whole registers.
  template <class F, class T>
  static constexpr bool kTransposes = std::is_same_v<F, float>&& std::is_same_v<T, float>;
  std::int64_t V;
  std::int64_t count;  ///< rows present; missing lanes repeat the last one

  std::int64_t steps() const { return kLong ? (V + kLanes - 1) / kLanes : V; }
  std::int64_t size() const { return steps() * kLanes; }
  /// Calls body(begin, end) for blocks of elements of kBlockSteps steps.
  template <class Body>
  void for_each_block(Body body) const {
    for (std::int64_t i = 0; i < size(); i += kBlockElements)
      body(i, i + kBlockElements < size() ? i + kBlockElements : size());
  }
  std::int64_t index(std::int64_t row, std::int64_t v) const {
    return kLong ? v : v * kLanes + row;
  }

  /// tile = rows at x as F; a long row is padded with `pad`, and only its elements from `first` on
  /// are loaded.
  template <class F, class T>
  void load(F* tile, const T* x, F pad = std::numeric_limits<F>::lowest(),
            std::int64_t first = 0) const {
    if constexpr (kLong) {
#pragma omp simd
      for (std::int64_t v = first; v < V; ++v) tile[v] = static_cast<F>(x[v]);
      for (std::int64_t v = V; v < size(); ++v) tile[v] = pad;
    } else {
      std::int64_t done = 0;
      if constexpr (kTransposes<F, T>)
        for (; count == kLanes && done + kWidth <= V; done += kWidth)
          for (std::int64_t row = 0; row < kLanes; row += kWidth)
            transpose_square<F, kWidth>(tile + done * kLanes + row, kLanes, x + row * V + done, V);
      for (int lane = 0; lane < kLanes; ++lane) {
        const T* row = x + (lane < count ? lane : count - 1) * V;
        for (std::int64_t v = done; v < V; ++v) tile[v * kLanes + lane] = static_cast<F>(row[v]);
      }
    }
  }

  /// The rows at x = tile, rounded to T.
  template <class F, class T>
  void store(T* x, const F* tile) const {
    if constexpr (kLong) {
#pragma omp simd
      for (std::int64_t v = 0; v < V; ++v) x[v] = tile[v];
    } else {
      std::int64_t done = 0;
      if constexpr (kTransposes<F, T>)
        for (; count == kLanes && done + kWidth <= V; done += kWidth)
          for (std::int64_t row = 0; row < kLanes; row += kWidth)
            transpose_square<F, kWidth>(x + row * V + done, V, tile + done * kLanes + row, kLanes);
      for (std::int64_t lane = 0; lane < count; ++lane)
        for (std::int64_t v = done; v < V; ++v) x[lane * V + v] = tile[v * kLanes + lane];
    }
  }

  /// out = maximum of each row, in every lane of a long one.
  template <class F>
  void max(F (&out)[kLanes], const F* x) const {
    F top[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) top[lane] = x[lane];
    for (std::int64_t i = kLanes; i < size(); i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        top[lane] = x[i + lane] > top[lane] ? x[i + lane] : top[lane];
    }
    max_lanes(top);
    for (int lane = 0; lane < kLanes; ++lane) out[lane] = top[lane];
  }

  /// out = sum of each row, in every lane of a long one.
  template <class F>
  void sum(F (&out)[kLanes], const F* x) const {
    LaneSum<F> total;
    for_each_block([&](std::int64_t begin, std::int64_t end) {
      F block[kLanes] = {};
      for (std::int64_t i = begin; i < end; i += kLanes) {
#pragma omp simd
        for (int lane = 0; lane < kLanes; ++lane) block[lane] += x[i + lane];
      }
      total.add(block);
    });
    sum_lanes(total.total);
    for (int lane = 0; lane < kLanes; ++lane) out[lane] = total.total[lane];
  }

  /// e = exp(x - shift), out = its sum over each row.
  template <class F>
  void exp_and_sum(F* e, F (&out)[kLanes], const F* x, const F (&shift)[kLanes]) const {
    for (std::int64_t i = 0; i < size(); i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) e[i + lane] = math::exp(x[i + lane] - shift[lane]);
    }
    sum(out, e);
  }

  /// Gives every lane of a long row the sum over the lanes (a fixed tree); short rows are done.
  template <class F>
  static void sum_lanes(F (&x)[kLanes]) {
    if constexpr (kLong) {
#pragma GCC unroll 4
      for (int half = kLanes / 2; half >= 1; half /= 2) {
#pragma omp simd
        for (int lane = 0; lane < half; ++lane) x[lane] += x[lane + half];
      }
      spread(x);
    }
  }
  /// Gives every lane of a long row what its first one has.
  template <class F>
  static void spread(F (&x)[kLanes]) {
    if constexpr (kLong)
      for (int lane = 1; lane < kLanes; ++lane) x[lane] = x[0];
  }
  template <class F>
  static void max_lanes(F (&x)[kLanes]) {
    if constexpr (kLong) {
#pragma GCC unroll 4
      for (int half = kLanes / 2; half >= 1; half /= 2) {
#pragma omp simd
        for (int lane = 0; lane < half; ++lane)
          x[lane] = x[lane + half] > x[lane] ? x[lane + half] : x[lane];
      }
      spread(x);
    }
  }
};

namespace detail {
template <class F, bool kLong, class Body>
void run_row_tiles(std::int64_t N, std::int64_t V, int arrays, Body& body) {
  constexpr std::int64_t kRows = RowTile<kLong>::kRows;
  const std::int64_t piece = (32768 / V / kRows + 1) * kRows;  // rows per task
  const std::int64_t size = RowTile<kLong>{V, kRows}.size();
  parallel_ranges(N, piece, [&](std::int64_t begin, std::int64_t end) {
    Tensor scratch = Tensor::empty({arrays, size}, dtype_of<F>());
    F* buffer = scratch.data<F>();
    simd([&](auto lanes) {
      for (std::int64_t n = begin; n < end; n += kRows)
        body(RowTile<kLong, lanes.value>{V, end - n < kRows ? end - n : kRows}, n, buffer);
    });
  });
}
}  // namespace detail

/// Calls body(tile, first_row, buffer) inside simd() for tiles that cover N rows of V elements;
/// buffer has room for `arrays` arrays of tile.size() values of type F, one after the other.
template <class F, class Body>
void for_each_row_tile(std::int64_t N, std::int64_t V, int arrays, Body&& body) {
  if (V <= kShortRow)
    detail::run_row_tiles<F, false>(N, V, arrays, body);
  else
    detail::run_row_tiles<F, true>(N, V, arrays, body);
}

}  // namespace limbeck::cpu
