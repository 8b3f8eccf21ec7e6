// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the blocks attention works on. A block of queries stands in the lanes of vector
// registers, so maxima and sums over the keys need no lane to know another.
#pragma once

#include <algorithm>

#include <limbeck/core/math.h>
#include <limbeck/kernels/attention_problem.h>
#include <limbeck/kernels/gemm.h>
#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {

/// Keys to a block: part of the result, since the running maximum moves once per block.
inline constexpr std::int64_t kKeyBlock = 96;

/// Queries [first, first + count) of head h in sequence n.
struct QueryBlock {
  std::int64_t n, h, first, count;
};

/// Calls fn(key, query, m) for all of a block's queries and the keys [j, j + keys), both counted
/// from there; j is a multiple of 4.
template <class F, class Fn>
[[gnu::always_inline]] inline void for_each_kept(const AttentionSizes& s, const QueryBlock& block,
                                                 std::int64_t j, std::int64_t keys, Fn fn) {
  const F factor = static_cast<F>(s.factor);
  for (std::int64_t l = 0; l < block.count; ++l)
    for (std::int64_t key = 0; key < keys; key += 4) {
      const Philox4 four = s.words(block.n, block.h, block.first + l, (j + key) / 4);
      const std::uint32_t word[4] = {four.x, four.y, four.z, four.w};
      for (std::int64_t k = 0; k < 4 && key + k < keys; ++k)
        fn(key + k, l, word[k] >= s.threshold ? factor : F(0));
    }
}

/// Blocks for kWidth float lanes. An element is one chain of fused multiply-adds, so the number of
/// lanes is no part of the result.
template <class F, int kWidth>
struct AttentionTile {
  static constexpr int kVector = kWidth * 4 / static_cast<int>(sizeof(F));
  static constexpr int kLanes = 2 * kVector;          ///< queries to a block
  static constexpr int kRows = kWidth == 16 ? 8 : 6;  ///< of a product held in registers
  using Index = std::int64_t;

  /// c (R,kLanes) = or += a (R,depth) b (depth,kLanes), in the order of depth.
  template <int R>
  [[gnu::always_inline]] static void multiply(F* c, Index ldc, Strided<const F> a, const F* b,
                                              Index ldb, Index depth, bool add) {
    F sum[R][kLanes];
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < kLanes; ++j) sum[i][j] = add ? c[i * ldc + j] : F(0);
    for (Index k = 0; k < depth; ++k) {
      const F* row = b + k * ldb;
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const F x = a.p[i * a.row + k * a.col];
#pragma omp simd
        for (int j = 0; j < kLanes; ++j) sum[i][j] = math::fma(x, row[j], sum[i][j]);
      }
    }
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < kLanes; ++j) c[i * ldc + j] = sum[i][j];
  }

  /// The same for any number of rows.
  [[gnu::always_inline]] static void product(F* c, Index ldc, Index rows, Strided<const F> a,
                                             const F* b, Index ldb, Index depth, bool add) {
    Index i = 0;
    const auto rest = [&](Index first) {
      return Strided<const F>{a.p + first * a.row, a.row, a.col};
    };
    for (; i + kRows <= rows; i += kRows)
      multiply<kRows>(c + i * ldc, ldc, rest(i), b, ldb, depth, add);
    for (; i + kRows / 2 <= rows; i += kRows / 2)
      multiply<kRows / 2>(c + i * ldc, ldc, rest(i), b, ldb, depth, add);
    for (; i < rows; ++i) multiply<1>(c + i * ldc, ldc, rest(i), b, ldb, depth, add);
  }

  /// Columns of a staged row: D and zeros up to whole blocks.
  static Index padded(Index D) { return (D + kLanes - 1) / kLanes * kLanes; }

  /// to (capacity, padded) = factor times `rows` rows of D, the rest zeros.
  template <class T>
  [[gnu::always_inline]] static void stage(F* to, const T* from, Index row, Index rows, Index D,
                                           Index capacity, F factor = 1) {
    const Index P = padded(D);
    for (Index i = 0; i < rows; ++i) {
#pragma omp simd
      for (Index d = 0; d < D; ++d) to[i * P + d] = factor * static_cast<F>(from[i * row + d]);
      for (Index d = D; d < P; ++d) to[i * P + d] = 0;
    }
    std::fill(to + rows * P, to + capacity * P, F(0));
  }

  /// to = factor times the first `rows` staged rows.
  template <class T>
  [[gnu::always_inline]] static void unstage(T* to, Index row, const F* from, Index rows, Index D,
                                             F factor = 1) {
    const Index P = padded(D);
    for (Index i = 0; i < rows; ++i) {
#pragma omp simd
      for (Index d = 0; d < D; ++d) to[i * row + d] = factor * from[i * P + d];
    }
  }

  /// lanes (padded, kLanes) = rows (kLanes, padded) transposed.
  [[gnu::always_inline]] static void to_lanes(F* lanes, const F* rows, Index P) {
    for (Index d = 0; d < P; d += kVector)
      for (int i = 0; i < kLanes; i += kVector)
        transpose_square<F, kVector>(lanes + d * kLanes + i, kLanes, rows + i * P + d, P);
  }
  [[gnu::always_inline]] static void to_rows(F* rows, const F* lanes, Index P) {
    for (Index d = 0; d < P; d += kVector)
      for (int i = 0; i < kLanes; i += kVector)
        transpose_square<F, kVector>(rows + i * P + d, P, lanes + d * kLanes + i, kLanes);
  }
};

}  // namespace limbeck::cpu
