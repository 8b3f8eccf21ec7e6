// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: blocks of products with a matrix of signs, for ops that do something with the sums
// while they are in cache.
#pragma once

#include <algorithm>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/sign_product.h>

namespace limbeck::cpu {

/// A task's share of a product, and the room it takes: the signs of kDepth x kCols elements are
/// made once and used for all of its rows.
template <class F>
class SignBlock {
 public:
  static constexpr std::int64_t kRows = 64, kCols = 256;

  SignBlock()
      : sums_(Tensor::empty({kRows, kCols}, dtype_of<F>())),
        tables_(Tensor::empty({kRowTile, kQuads, kQuadSums}, dtype_of<F>())),
        index_(Tensor::empty({kQuads, kCols}, DType::i32)) {}

  /// row(n)[j] = sum over d of x_nd times the sign of column j0 + j, unscaled, for n < rows <=
  /// kRows and j < cols <= kCols; x (rows,D). kForward: the signs are Phi^T (D,C) and j0 is a
  /// multiple of 16, else Phi (its rows are d) and j0 a multiple of 128. Call inside simd().
  template <bool kForward, int kWidth, class T>
  [[gnu::always_inline]] void run(const T* x, std::int64_t rows, std::int64_t D,
                                  const RademacherMatrix& matrix, std::int64_t j0,
                                  std::int64_t cols) {
    std::uint32_t* index = static_cast<std::uint32_t*>(index_.raw());
    std::fill_n(row(0), rows * kCols, F(0));
    for (std::int64_t d = 0; d < D; d += kDepth) {
      const std::int64_t depth = std::min(kDepth, D - d);
      if constexpr (kForward)
        index_rows<kWidth>(index, matrix, j0, cols, d, depth);
      else
        index_columns<kWidth>(index, matrix, j0, cols, d, depth);
      std::int64_t n = 0;
      for (; n + kRowTile <= rows; n += kRowTile)
        add_rows<kWidth, kRowTile>(row(n), x + n * D + d, D, depth, cols);
      for (; n < rows; ++n) add_rows<kWidth, 1>(row(n), x + n * D + d, D, depth, cols);
    }
  }
  F* row(std::int64_t n) { return sums_.data<F>() + n * kCols; }

 private:
  static constexpr std::int64_t kDepth = 256, kQuads = kDepth / 4;
  static constexpr int kRowTile = 4;

  // index[quad][j]: the signs of columns (of Phi) d0 + 4 quad .. + 3 in row k0 + j.
  template <int kWidth>
  [[gnu::always_inline]] static void index_rows(std::uint32_t* index,
                                                const RademacherMatrix& matrix, std::int64_t k0,
                                                std::int64_t rows, std::int64_t d0,
                                                std::int64_t depth) {
    std::uint32_t words[4][16];
    for (std::int64_t j = 0; j < rows; j += 16)
      for (std::int64_t d = 0; d < depth; d += 128) {
        make_sign_words(words, matrix, static_cast<std::uint32_t>(k0 + j),
                        static_cast<std::uint32_t>((d0 + d) / 128));
        std::uint32_t* out = index + d / 4 * kCols + j;
        for (int quad = 0; quad < 32; ++quad) {
#pragma omp simd
          for (int i = 0; i < 16; ++i)
            out[quad * kCols + i] =
                encode_quad<F, kWidth>(words[quad / 8][i] >> quad % 8 * 4 & 15u);
        }
      }
  }

  // index[quad][j]: the signs of rows k0 + 4 quad .. + 3 in column d0 + j.
  template <int kWidth>
  [[gnu::always_inline]] static void index_columns(std::uint32_t* index,
                                                   const RademacherMatrix& matrix, std::int64_t d0,
                                                   std::int64_t columns, std::int64_t k0,
                                                   std::int64_t depth) {
    std::uint32_t words[4][16];
    for (std::int64_t k = 0; k < depth; k += 16)
      for (std::int64_t j = 0; j < columns; j += 128) {
        make_sign_words(words, matrix, static_cast<std::uint32_t>(k0 + k),
                        static_cast<std::uint32_t>((d0 + j) / 128));
        for (int quad = 0; quad < 4; ++quad)
          for (int w = 0; w < 4; ++w) {
            const std::uint32_t* row = &words[w][4 * quad];
            std::uint32_t* out = index + (k / 4 + quad) * kCols + j + 32 * w;
#pragma omp simd
            for (int i = 0; i < 32; ++i)
              out[i] = encode_quad<F, kWidth>((row[0] >> i & 1u) | (row[1] >> i & 1u) << 1 |
                                              (row[2] >> i & 1u) << 2 | (row[3] >> i & 1u) << 3);
          }
      }
  }

  // kTile rows at acc += the block of signs in index_ applied to x.
  template <int kWidth, int kTile, class T>
  [[gnu::always_inline]] void add_rows(F* acc, const T* x, std::int64_t x_row, std::int64_t depth,
                                       std::int64_t cols) {
    constexpr int kVectors = kWidth == 16 ? 4 : 2;
    F* tables = tables_.data<F>();
    const std::uint32_t* index = static_cast<const std::uint32_t*>(index_.raw());
    for (int r = 0; r < kTile; ++r)
      make_tables(tables + r * kQuads * kQuadSums, x + r * x_row, depth);
    const std::int64_t quads = (depth + 3) / 4;
    std::int64_t j = 0;
    for (; j + kVectors * kWidth <= cols; j += kVectors * kWidth)
      add_lookups<F, kWidth, kTile, kVectors>(acc + j, kCols, tables, kQuads * kQuadSums, index + j,
                                              kCols, quads);
    for (; j < cols; j += kWidth)
      add_lookups<F, kWidth, kTile, 1>(acc + j, kCols, tables, kQuads * kQuadSums, index + j, kCols,
                                       quads);
  }

  Tensor sums_, tables_, index_;
};

}  // namespace limbeck::cpu
