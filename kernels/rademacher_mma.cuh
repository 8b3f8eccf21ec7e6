// SPDX-License-Identifier: Apache-2.0
// Internal: the product of 16-bit rows with random signs on tensor cores (sm_80). The signs are
// made as fragments of 1 and -1 in registers, from Philox words in shared memory.
#pragma once

#include <limbeck/kernels/rademacher.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::gpu {

template <class T>
struct SignProduct {
  T* out;       // (N,C)
  const T* in;  // (N,D)
  std::int64_t N, D, C;
  RademacherMatrix matrix;
  float scale;
  bool aligned;  // every row of `in` begins at a multiple of 16 bytes
};

/// A block makes a tile of kMmaTile rows and columns, kMmaTile elements of depth at a time.
inline constexpr int kMmaTile = 128;
inline constexpr int kMmaThreads = 256;

/// Two elements of a fragment, -1 where the lowest bit is set.
template <class T>
LIMBECK_DEVICE std::uint32_t signed_ones(std::uint32_t first, std::uint32_t second) {
  constexpr std::uint32_t kOnes = std::is_same_v<T, BFloat16> ? 0x3f803f80u : 0x3c003c00u;
  return kOnes | (first & 1u) << 15 | second << 31;
}

/// The fragments of a step of 16 elements of depth in four neighbouring tiles of 8 columns from
/// 32 `group` on; lanes count as in FragmentB. Forward: depth goes along the columns of Phi, and
/// words[i] holds 128 of them in row i of the block's columns.
template <class T>
struct RowFragments {
  std::uint32_t word[4];
  LIMBECK_DEVICE RowFragments(const std::uint32_t (*words)[4], int step, int group) {
    LIMBECK_UNROLL
    for (int tile = 0; tile < 4; ++tile)
      word[tile] =
          words[32 * group + 8 * tile + lane() / 4][step / 2] >> (step % 2 * 16 + lane() % 4 * 2);
  }
  LIMBECK_DEVICE FragmentB operator()(int tile) const {
    const std::uint32_t w = word[tile];
    return {{signed_ones<T>(w, w >> 1), signed_ones<T>(w >> 8, w >> 9)}};
  }
  LIMBECK_DEVICE static Philox4 block(const RademacherMatrix& matrix, std::int64_t column,
                                      std::int64_t depth, int i) {
    return rademacher_block(matrix, static_cast<std::uint32_t>(column + i),
                            static_cast<std::uint32_t>(depth / 128));
  }
};

/// Backward: depth goes along the rows of Phi, and words[i] holds the block's 128 columns in row i.
template <class T>
struct ColumnFragments {
  std::uint32_t word[4];
  LIMBECK_DEVICE ColumnFragments(const std::uint32_t (*words)[4], int step, int group) {
    LIMBECK_UNROLL
    for (int i = 0; i < 4; ++i)
      word[i] = words[16 * step + lane() % 4 * 2 + i / 2 * 8 + i % 2][group] >> (lane() / 4);
  }
  LIMBECK_DEVICE FragmentB operator()(int tile) const {
    return {{signed_ones<T>(word[0] >> 8 * tile, word[1] >> 8 * tile),
             signed_ones<T>(word[2] >> 8 * tile, word[3] >> 8 * tile)}};
  }
  LIMBECK_DEVICE static Philox4 block(const RademacherMatrix& matrix, std::int64_t column,
                                      std::int64_t depth, int i) {
    return rademacher_block(matrix, static_cast<std::uint32_t>(depth + i),
                            static_cast<std::uint32_t>(column / 128));
  }
};

/// Eight 16-bit elements of the tile of `in`. The exclusive-or puts the same chunk of eight rows,
/// which ldmatrix reads at once, into different banks.
LIMBECK_DEVICE int chunk_place(int row, int chunk) { return row * 16 + (chunk ^ (row & 7)); }

/// One block per 128 x 128 elements of out, a warp for 64 x 32 of them. Reads N*D once per 128
/// columns, from L2 but for the first, since blocks of the same rows are neighbours; writes N*C.
template <class Fragments, class T>
LIMBECK_KERNEL sign_mma_kernel(SignProduct<T> p) {
  LIMBECK_SHARED_ALIGNED(16, Pack16, tile, [kMmaTile * 16]);
  LIMBECK_SHARED(std::uint32_t, words, [kMmaTile][4]);
  const int thread = static_cast<int>(threadIdx.x);
  const int half = warp() / 4, group = warp() % 4;
  const auto column_blocks = static_cast<unsigned>((p.C + kMmaTile - 1) / kMmaTile);
  const std::int64_t n0 = std::int64_t{blockIdx.x / column_blocks} * kMmaTile;
  const std::int64_t c0 = std::int64_t{blockIdx.x % column_blocks} * kMmaTile;
  FragmentC acc[4][4] = {};
  for (std::int64_t d0 = 0; d0 < p.D; d0 += kMmaTile) {
    for (int i = thread; i < kMmaTile * 16; i += kMmaThreads) {
      const int row = i / 16, chunk = i % 16;
      const bool exists = n0 + row < p.N && d0 + 8 * chunk < p.D;
      copy_async<16>(&tile[chunk_place(row, chunk)],
                     exists ? p.in + (n0 + row) * p.D + d0 + 8 * chunk : p.in, exists ? 16 : 0);
    }
    commit_copies();
    if (thread < kMmaTile) {
      const Philox4 b = Fragments::block(p.matrix, c0, d0, thread);
      words[thread][0] = b.x;
      words[thread][1] = b.y;
      words[thread][2] = b.z;
      words[thread][3] = b.w;
    }
    wait_copies<0>();
    sync_block();
    const int steps = p.D - d0 < kMmaTile ? static_cast<int>(p.D - d0 + 15) / 16 : kMmaTile / 16;
    for (int step = 0; step < steps; ++step) {
      const Fragments signs(words, step, group);
      LIMBECK_UNROLL
      for (int m = 0; m < 4; ++m) {
        const int row = 64 * half + 16 * m + lane() % 16;
        const FragmentA a = load_matrices(&tile[chunk_place(row, 2 * step + lane() / 16)]);
        LIMBECK_UNROLL
        for (int n = 0; n < 4; ++n) mma<T>(acc[m][n], a, signs(n));
      }
    }
    sync_block();  // the next copies overwrite the tile
  }
  LIMBECK_UNROLL
  for (int m = 0; m < 4; ++m) {
    LIMBECK_UNROLL
    for (int n = 0; n < 4; ++n) {
      LIMBECK_UNROLL
      for (int i = 0; i < 4; ++i) {
        const std::int64_t row = n0 + 64 * half + 16 * m + lane() / 4 + i / 2 * 8;
        const std::int64_t column = c0 + 32 * group + 8 * n + lane() % 4 * 2 + i % 2;
        if (row < p.N && column < p.C) p.out[row * p.C + column] = T(acc[m][n].value[i] * p.scale);
      }
    }
  }
}

}  // namespace limbeck::gpu
