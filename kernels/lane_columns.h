// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: columns of 16 rows with one row to a lane, so that a loop over the lanes serves 16
// rows at once whatever it does along them.
#pragma once

#include <algorithm>
#include <type_traits>

#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu {

/// Columns moved at once; tiles have room for a multiple of it.
inline constexpr std::int64_t kStrip = 16;

inline std::int64_t whole_strips(std::int64_t columns) {
  return (columns + kStrip - 1) / kStrip * kStrip;
}

/// tile[c * 16 + lane] = x[lane * stride + c] for c < columns; lanes from `rows` on repeat the last
/// row. Leaves something in the rest of the last strip. kWidth floats make a vector register.
template <int kWidth, class F, class T>
[[gnu::always_inline]] inline void load_lanes(F* tile, const T* x, std::int64_t stride,
                                              std::int64_t columns, std::int64_t rows) {
  F buffer[kLanes * kStrip] = {};
  for (std::int64_t c = 0; c < columns; c += kStrip) {
    const std::int64_t n = std::min(kStrip, columns - c);
    const F* from = buffer;
    std::int64_t from_row = kStrip;
    if constexpr (std::is_same_v<F, T>) {
      if (rows == kLanes && n == kStrip) {
        from = x + c;
        from_row = stride;
      }
    }
    for (std::int64_t lane = 0; from == buffer && lane < kLanes; ++lane) {
      const T* row = x + std::min(lane, rows - 1) * stride + c;
      if (n == kStrip) {
#pragma omp simd
        for (int j = 0; j < kStrip; ++j) buffer[lane * kStrip + j] = static_cast<F>(row[j]);
      } else {
        for (std::int64_t j = 0; j < n; ++j) buffer[lane * kStrip + j] = static_cast<F>(row[j]);
      }
    }
    for (std::int64_t j = 0; j < kStrip; j += kWidth)
      for (std::int64_t lane = 0; lane < kLanes; lane += kWidth)
        transpose_square<F, kWidth>(tile + (c + j) * kLanes + lane, kLanes,
                                    from + lane * from_row + j, from_row);
  }
}

/// The reverse, rounded to T, for the rows there are. Reads the rest of the last strip.
template <int kWidth, class F, class T>
[[gnu::always_inline]] inline void store_lanes(T* x, const F* tile, std::int64_t stride,
                                               std::int64_t columns, std::int64_t rows) {
  F buffer[kLanes * kStrip];
  for (std::int64_t c = 0; c < columns; c += kStrip) {
    const std::int64_t n = std::min(kStrip, columns - c);
    F* to = buffer;
    std::int64_t to_row = kStrip;
    if constexpr (std::is_same_v<F, T>) {
      if (rows == kLanes && n == kStrip) {
        to = x + c;
        to_row = stride;
      }
    }
    for (std::int64_t j = 0; j < kStrip; j += kWidth)
      for (std::int64_t lane = 0; lane < kLanes; lane += kWidth)
        transpose_square<F, kWidth>(to + lane * to_row + j, to_row, tile + (c + j) * kLanes + lane,
                                    kLanes);
    for (std::int64_t lane = 0; to == buffer && lane < rows; ++lane) {
      T* row = x + lane * stride + c;
      if (n == kStrip) {
#pragma omp simd
        for (int j = 0; j < kStrip; ++j) row[j] = buffer[lane * kStrip + j];
      } else {
        for (std::int64_t j = 0; j < n; ++j) row[j] = buffer[lane * kStrip + j];
      }
    }
  }
}

/// Calls body(width, first_row, rows, buffer) inside simd() for N rows, 16 at a time; buffer has
/// room for `columns` columns of 16 lanes, `work` columns' worth of arithmetic make a row of a
/// task.
template <class F, class Body>
void for_each_16_rows(std::int64_t N, std::int64_t work, std::int64_t columns, Body&& body) {
  const std::int64_t piece = (32768 / std::max<std::int64_t>(work, 1) / kLanes + 1) * kLanes;
  parallel_ranges(N, piece, [&](std::int64_t begin, std::int64_t end) {
    Tensor scratch = Tensor::empty({columns, kLanes}, dtype_of<F>());
    F* buffer = scratch.data<F>();
    simd([&](auto width) {
      for (std::int64_t n = begin; n < end; n += kLanes)
        body(width, n, std::min<std::int64_t>(kLanes, end - n), buffer);
    });
  });
}

/// code_h(d) += scale s(d) x_d for the columns of a strip, in their order.
template <class F>
[[gnu::always_inline]] inline void add_to_buckets(F* code, const F* x, const std::int32_t* target,
                                                  std::int64_t columns, F scale) {
  for (std::int64_t d = 0; d < columns; ++d) {
    F* bucket = code + (target[d] >> 1) * kLanes;
    const F sign = target[d] & 1 ? -scale : scale;
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane)
      bucket[lane] = math::fma(sign, x[d * kLanes + lane], bucket[lane]);
  }
}

/// x_d += scale s(d) code_h(d) for the columns of a strip.
template <class F>
[[gnu::always_inline]] inline void add_from_buckets(F* x, const F* code, const std::int32_t* target,
                                                    std::int64_t columns, F scale) {
  for (std::int64_t d = 0; d < columns; ++d) {
    const F* bucket = code + (target[d] >> 1) * kLanes;
    const F sign = target[d] & 1 ? -scale : scale;
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane)
      x[d * kLanes + lane] = math::fma(sign, bucket[lane], x[d * kLanes + lane]);
  }
}

/// code (K columns) += scale times the count sketch of D columns of 16 rows at x, strip by strip.
template <int kWidth, class F, class T>
[[gnu::always_inline]] inline void sketch_lanes(F* code, const T* x, std::int64_t D,
                                                std::int64_t rows, const std::int32_t* target,
                                                F scale) {
  F strip[kLanes * kStrip];
  for (std::int64_t d = 0; d < D; d += kStrip) {
    const std::int64_t n = std::min(kStrip, D - d);
    load_lanes<kWidth>(strip, x + d, D, n, rows);
    add_to_buckets(code, strip, target + d, n, scale);
  }
}

/// x = the sum over the factors, in their order, of scale times the transpose of a sketch applied
/// to code[j] (K columns): D columns of 16 rows.
template <int kWidth, class F, class T>
[[gnu::always_inline]] inline void gather_lanes(T* x, const F* const* code,
                                                const std::int32_t* const* target, int factors,
                                                std::int64_t D, std::int64_t rows, F scale) {
  F strip[kLanes * kStrip];
  for (std::int64_t d = 0; d < D; d += kStrip) {
    const std::int64_t n = std::min(kStrip, D - d);
    std::fill_n(strip, kLanes * kStrip, F(0));
    for (int j = 0; j < factors; ++j) add_from_buckets(strip, code[j], target[j] + d, n, scale);
    store_lanes<kWidth>(x + d, strip, D, n, rows);
  }
}

}  // namespace limbeck::cpu
