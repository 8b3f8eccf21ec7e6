// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the product of one step of a recurrence. Its right factor is the same at every
// step, so it is packed once; its left one has few rows.
#pragma once

#include <cstdint>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gemm.h>

namespace limbeck::cpu {

/// A tile of kRows x kCols accumulators: enough chains to hide the latency of an fma.
template <class F, int kLanes>
struct StepTile {
  static constexpr int kRows = kLanes == 16 ? 8 : 4;
  static constexpr int kCols = 2 * kLanes * 4 / static_cast<int>(sizeof(F));
};
inline constexpr std::int64_t kMaxStepCols = 32;

/// Columns as a product pads them, whatever the tile.
inline std::int64_t padded_columns(std::int64_t n) {
  return (n + kMaxStepCols - 1) / kMaxStepCols * kMaxStepCols;
}

/// b (k,n) as strips of C columns, one after another, zeros past the end: k * padded_columns(n).
template <int C, class F, class T>
[[gnu::always_inline]] inline void pack_columns(F* strips, Strided<const T> b, std::int64_t k,
                                                std::int64_t n) {
  for (std::int64_t j0 = 0; j0 < padded_columns(n); j0 += C)
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = j0; j < j0 + C; ++j)
        *strips++ = j < n ? static_cast<F>(b.p[i * b.row + j * b.col]) : F(0);
}

/// Rows by pointer and distance; 0 for one row that stands for all.
template <class F>
struct StepRows {
  F* p;
  std::int64_t stride;
};

template <int R, int C, class F>
[[gnu::always_inline]] inline void step_tile(StepRows<F> c, StepRows<const F> start,
                                             StepRows<const F> a, const F* strip, std::int64_t k) {
  F acc[R][C];
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) acc[i][j] = start.p[i * start.stride + j];
  for (std::int64_t l = 0; l < k; ++l) {
    const F* b = strip + l * C;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const F x = a.p[i * a.stride + l];
#pragma omp simd
      for (int j = 0; j < C; ++j) acc[i][j] = math::fma(x, b[j], acc[i][j]);
    }
  }
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) c.p[i * c.stride + j] = acc[i][j];
}

/// c (rows,n) = start + a (rows,k) b, b packed for this tile; each element is one chain of fused
/// multiply-adds over k = 0..k-1 from its start. There is room for whole tiles: rows are a multiple
/// of kRows, and c and start have padded_columns(n). start may be c.
template <int kLanes, class F>
[[gnu::always_inline]] inline void step_product(StepRows<F> c, StepRows<const F> start,
                                                StepRows<const F> a, const F* strips,
                                                std::int64_t rows, std::int64_t n, std::int64_t k) {
  constexpr int R = StepTile<F, kLanes>::kRows, C = StepTile<F, kLanes>::kCols;
  for (std::int64_t j = 0; j < n; j += C)
    for (std::int64_t i = 0; i < rows; i += R)
      step_tile<R, C, F>({c.p + i * c.stride + j, c.stride},
                         {start.p + i * start.stride + j, start.stride},
                         {a.p + i * a.stride, a.stride}, strips + j * k, k);
}

}  // namespace limbeck::cpu
