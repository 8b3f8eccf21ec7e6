// SPDX-License-Identifier: Apache-2.0
// Internal: products with a matrix of signs, out of tables of signed sums in shared memory. One
// block per kRows rows and blockDim.x columns (at most 256), one thread per column.
#pragma once

#include <limbeck/kernels/rademacher.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::gpu {

inline constexpr int kSignThreads = 256;
inline constexpr int kSignChunk = 128;  ///< elements of a row whose tables are there at once
inline constexpr int kSignQuads = kSignChunk / 4;
inline constexpr int kQuadSums = 16;

/// Rows of D elements, in global or shared memory.
template <class T>
struct SignRows {
  const T* x;
  std::int64_t N, D;
  bool aligned;  ///< every row begins at a multiple of 16 bytes
};

/// The 16 signed sums of each quad of kRows rows, bit i of a sum's number meaning that element i is
/// subtracted. A warp looks up one table at a time, so its lanes hit 16 different banks. The 4
/// extra words put the tables that neighbouring threads write into different banks.
template <int kRows>
struct SignTables {
  static constexpr int kQuadStride = kRows * kQuadSums + 4;
  static constexpr int kSize = kSignQuads * kQuadStride;

  LIMBECK_DEVICE static void write(float* tables, int quad, int row, const float* x) {
    const float low[4] = {x[0] + x[1], x[1] - x[0], x[0] - x[1], -x[0] - x[1]};
    const float high[4] = {x[2] + x[3], x[3] - x[2], x[2] - x[3], -x[2] - x[3]};
    float* table = tables + quad * kQuadStride + row * kQuadSums;
    LIMBECK_UNROLL
    for (int h = 0; h < 4; ++h) {
      Vector<float> sums;
      LIMBECK_UNROLL
      for (int l = 0; l < 4; ++l) sums.lane[l] = low[l] + high[h];
      store_vector(table + 4 * h, sums);
    }
  }

  /// Those of elements d0 .. d0 + kSignChunk - 1 of rows n0 .., zeros beyond the ends.
  template <class T>
  LIMBECK_DEVICE static void fill(float* tables, const SignRows<T>& rows, std::int64_t n0,
                                  std::int64_t d0) {
    constexpr int kPacks = kSignChunk / kLanes<T>;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks;
         i += static_cast<int>(blockDim.x)) {
      const int row = i / kPacks, d = i % kPacks * kLanes<T>;
      const T* in = rows.x + (n0 + row) * rows.D;
      const std::int64_t left = n0 + row < rows.N ? rows.D - d0 - d : 0;
      float x[kLanes<T>];
      if (rows.aligned && left >= kLanes<T>) {
        const Vector<T> pack = load_vector(in + d0 + d);
        for (int lane = 0; lane < kLanes<T>; ++lane) x[lane] = static_cast<float>(pack.lane[lane]);
      } else {
        for (int lane = 0; lane < kLanes<T>; ++lane)
          x[lane] = lane < left ? static_cast<float>(in[d0 + d + lane]) : 0.0f;
      }
      for (int j = 0; j < kLanes<T>; j += 4) write(tables, (d + j) / 4, row, x + j);
    }
  }
};

/// Signs of a thread's row of Phi, for the forward: one Philox block per chunk, in registers.
struct RowSigns {
  static constexpr int kSize = 1;  // arrays may not be empty
  std::uint32_t words[4];

  LIMBECK_DEVICE explicit RowSigns(std::uint32_t*) {}
  LIMBECK_DEVICE void make(const RademacherMatrix& matrix, std::int64_t column, std::int64_t d0) {
    const Philox4 b = rademacher_block(matrix, static_cast<std::uint32_t>(column + threadIdx.x),
                                       static_cast<std::uint32_t>(d0 / kSignChunk));
    words[0] = b.x;
    words[1] = b.y;
    words[2] = b.z;
    words[3] = b.w;
  }
  LIMBECK_DEVICE unsigned sum_number(int word, int j) const { return words[word] >> 4 * j & 15u; }
};

/// Signs of a thread's column of Phi, for the backward: bits in shared memory, kSize words aligned
/// to 16 bytes, the words of four rows side by side. `column` is a multiple of 128.
struct ColumnSigns {
  static constexpr int kWords = kSignThreads / 32;
  static constexpr int kSize = kSignQuads * kWords * 4;
  std::uint32_t* bits;

  LIMBECK_DEVICE explicit ColumnSigns(std::uint32_t* shared) : bits(shared) {}
  LIMBECK_DEVICE std::uint32_t* of(int quad, int word) const {
    return bits + (quad * kWords + word) * 4;
  }
  LIMBECK_DEVICE void make(const RademacherMatrix& matrix, std::int64_t column, std::int64_t k0) {
    const int blocks = (static_cast<int>(blockDim.x) + 127) / 128;
    for (int i = static_cast<int>(threadIdx.x); i < kSignChunk * blocks;
         i += static_cast<int>(blockDim.x)) {
      const int k = i % kSignChunk, block = i / kSignChunk;
      const Philox4 b = rademacher_block(matrix, static_cast<std::uint32_t>(k0 + k),
                                         static_cast<std::uint32_t>(column / 128 + block));
      const std::uint32_t words[4] = {b.x, b.y, b.z, b.w};
      for (int w = 0; w < 4; ++w) of(k / 4, 4 * block + w)[k % 4] = words[w];
    }
  }
  LIMBECK_DEVICE unsigned sum_number(int word, int j) const {
    const Pack16 rows = load16(of(8 * word + j, warp()));
    return (rows.word[0] >> lane() & 1u) | (rows.word[1] >> lane() & 1u) << 1 |
           (rows.word[2] >> lane() & 1u) << 2 | (rows.word[3] >> lane() & 1u) << 3;
  }
};

/// acc[r] += the unscaled product of row n0 + r with the signs of the thread's column, which is
/// `column` + threadIdx.x. All threads call; ends with a barrier. Reads rows once, D/4 lookups and
/// as many additions per sum.
template <class Signs, int kRows, class T>
LIMBECK_DEVICE void add_sign_product(float (&acc)[kRows], float* tables, Signs& signs,
                                     const SignRows<T>& rows, const RademacherMatrix& matrix,
                                     std::int64_t n0, std::int64_t column) {
  for (std::int64_t d0 = 0; d0 < rows.D; d0 += kSignChunk) {
    signs.make(matrix, column, d0);
    SignTables<kRows>::fill(tables, rows, n0, d0);
    sync_block();
    const int quads = rows.D - d0 < kSignChunk ? static_cast<int>(rows.D - d0 + 3) / 4 : kSignQuads;
    LIMBECK_UNROLL
    for (int word = 0; word < 4; ++word) {
      const int count = quads - 8 * word < 8 ? quads - 8 * word : 8;
      for (int j = 0; j < count; ++j) {
        const float* at =
            tables + (8 * word + j) * SignTables<kRows>::kQuadStride + signs.sum_number(word, j);
        LIMBECK_UNROLL
        for (int r = 0; r < kRows; ++r) acc[r] += at[r * kQuadSums];
      }
    }
    sync_block();  // the next chunk overwrites tables and bits
  }
}

}  // namespace limbeck::gpu
