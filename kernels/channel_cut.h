// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: how the passes over x (N,R,C) of kernels/channel_norm.h are cut into pieces.
#pragma once

#include <algorithm>
#include <type_traits>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>

namespace limbeck::cpu {

/// Pieces of rows of a sample, whose sums are merged in their order: part of the result.
struct ChannelCut {
  std::int64_t N, R, C, G, rows, pieces;

  ChannelCut(const Tensor& x, const Tensor& mean)
      : N(x.dim(0)), R(x.dim(1)), C(x.dim(2)), G(mean.dim(1)) {
    rows = std::max<std::int64_t>(16, 32768 / C);
    pieces = (R + rows - 1) / rows;
  }
  /// Calls body(sample, piece, first element, rows) inside simd() for all pieces, in parallel.
  template <class Body>
  void for_each_piece(Body body) const {
    parallel_for(N * pieces, [&](std::int64_t task) {
      const std::int64_t n = task / pieces, p = task % pieces;
      simd([&](auto) { body(n, p, (n * R + p * rows) * C, rows_of(p)); });
    });
  }
  std::int64_t rows_of(std::int64_t piece) const {
    return piece + 1 < pieces ? rows : R - piece * rows;
  }
};

inline constexpr std::int64_t kColumns = 64;  // whose sums a core keeps in its registers

/// Calls body(first column, columns) for blocks of up to 64 columns. The number is known when
/// compiled where it is 64, 32 or 16, so that sums of a block stay in registers.
template <class Body>
[[gnu::always_inline]] inline void for_each_block(std::int64_t C, Body body) {
  for (std::int64_t c = 0; c < C; c += kColumns) {
    const std::int64_t columns = std::min(C - c, kColumns);
    if (columns == 64)
      body(c, std::integral_constant<std::int64_t, 64>());
    else if (columns == 32)
      body(c, std::integral_constant<std::int64_t, 32>());
    else if (columns == 16)
      body(c, std::integral_constant<std::int64_t, 16>());
    else
      body(c, columns);
  }
}

/// Calls body(first element, columns) for the rows of `width` elements of [begin, end), the last of
/// which may be shorter.
template <class Body>
[[gnu::always_inline]] inline void for_each_row(std::int64_t begin, std::int64_t end,
                                                std::int64_t width, Body body) {
  std::int64_t i = begin;
  if (width == kColumns)
    for (; i + kColumns <= end; i += kColumns)
      body(i, std::integral_constant<std::int64_t, kColumns>());
  for (; i < end; i += width) body(i, std::min(width, end - i));
}

}  // namespace limbeck::cpu
