// SPDX-License-Identifier: Apache-2.0
// Internal: the blocks of rows that attention's kernels hold against tiles of other rows.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/attention_problem.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::gpu {

inline constexpr int kTileRows = 32;  ///< one to a lane

/// A block of 4 warps owns kRows rows of width D <= 32 kColumns, a few of them to a warp; element d
/// of a sum over a tile belongs to lane d % 32. Rows lie D + 1 floats apart in shared memory, so
/// that lanes which read one element each of 32 rows meet in no bank.
template <int kColumns_>
struct AttentionBlock {
  static constexpr int kColumns = kColumns_;
  static constexpr int kWarps = 4, kThreads = kWarps * kWarp;
  static constexpr int kPerWarp = kColumns == 8 ? 2 : 4;  // less shared memory for wide rows
  static constexpr int kRows = kWarps * kPerWarp;
  using Weights = float[kPerWarp];
  using Sums = float[kPerWarp][kColumns];

  LIMBECK_DEVICE static int first_row() { return warp() * kPerWarp; }

  /// to (capacity,D) = factor times `rows` rows, the rest zeros; rows may be less than 0.
  template <class T>
  LIMBECK_DEVICE static void stage(float* to, const T* from, std::int64_t row, std::int64_t rows,
                                   int D, int capacity, float factor = 1) {
    for (int i = static_cast<int>(threadIdx.x); i < capacity * D; i += kThreads) {
      const int r = i / D, d = i - r * D;
      to[r * (D + 1) + d] = r < rows ? factor * static_cast<float>(from[r * row + d]) : 0.0f;
    }
  }

  /// out[r] = the warp's row r of `own` . row `lane` of `tile`.
  LIMBECK_DEVICE static void dots(Weights& out, const float* own, const float* tile, int D) {
    own += first_row() * (D + 1);
    tile += lane() * (D + 1);
    for (int r = 0; r < kPerWarp; ++r) out[r] = 0;
    for (int d = 0; d < D; ++d) {
      LIMBECK_UNROLL
      for (int r = 0; r < kPerWarp; ++r) out[r] = math::fma(own[r * (D + 1) + d], tile[d], out[r]);
    }
  }

  /// sums[r] += the rows of `tile`, in their order, each times that lane's weight[r]. `board`
  /// (kRows,kTileRows) is where a warp's lanes show each other their weights.
  LIMBECK_DEVICE static void add(Sums& sums, const Weights& weight, float* board, const float* tile,
                                 int D) {
    board += first_row() * kTileRows;
    for (int r = 0; r < kPerWarp; ++r) board[r * kTileRows + lane()] = weight[r];
    sync_warp();
    for (int j = 0; j < kTileRows; ++j) {
      LIMBECK_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int d = lane() + c * kWarp;
        if (d >= D) continue;
        const float x = tile[j * (D + 1) + d];
        LIMBECK_UNROLL
        for (int r = 0; r < kPerWarp; ++r)
          sums[r][c] = math::fma(board[r * kTileRows + j], x, sums[r][c]);
      }
    }
    sync_warp();  // the board may be written again
  }

  /// The warp's rows of `to`, of which there are `rows` from the block's first one on.
  template <class T>
  LIMBECK_DEVICE static void write(T* to, std::int64_t row, std::int64_t rows, const Sums& sums,
                                   const Weights& factor, int D) {
    LIMBECK_UNROLL
    for (int r = 0; r < kPerWarp; ++r) {
      LIMBECK_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int d = lane() + c * kWarp;
        if (d < D && first_row() + r < rows)
          to[(first_row() + r) * row + d] = T(sums[r][c] * factor[r]);
      }
    }
  }
};

/// Which rows a block owns: `first`.. of a head in a sequence.
struct BlockPlace {
  std::int64_t n, head, first;
  /// blockIdx.x counts blocks of `size` rows of `rows`, then heads, then sequences.
  LIMBECK_DEVICE BlockPlace(std::int64_t rows, std::int64_t heads, int size) {
    const std::int64_t blocks = (rows + size - 1) / size, at = blockIdx.x / blocks;
    first = (blockIdx.x - at * blocks) * size;
    n = at / heads;
    head = at - n * heads;
  }
};

/// Calls fn(TypeTag<AttentionBlock<..>>{}) for rows of width D.
template <class Fn>
void visit_attention_block(const char* op, std::int64_t D, Fn fn) {
  LIMBECK_CHECK(D <= 256, op, ": heads are ", D, " wide; expected at most 256 on a GPU");
  if (D <= 32) return fn(TypeTag<AttentionBlock<1>>{});
  if (D <= 64) return fn(TypeTag<AttentionBlock<2>>{});
  if (D <= 128) return fn(TypeTag<AttentionBlock<4>>{});
  fn(TypeTag<AttentionBlock<8>>{});
}

}  // namespace limbeck::gpu
