// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rademacher_projection.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/sign_product.h>

namespace limbeck {
namespace {

void check_projection(const char* op, const char* out_name, const Tensor& out, const char* in_name,
                      const Tensor& in) {
  LIMBECK_CHECK(is_floating(in.dtype()), op, ": ", in_name, " is ", in.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(in.rank() == 2 && out.rank() == 2 && in.dim(0) == out.dim(0) && in.dim(1) >= 1 &&
                    out.dim(1) >= 1 && out.dtype() == in.dtype() && out.device() == in.device(),
                op, ": ", out_name, " is ", out.dtype(), out.shape(), " on ", out.device(), ", ",
                in_name, " ", in.dtype(), in.shape(), " on ", in.device(),
                "; expected matrices of equally many rows, with columns, of one dtype and device");
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  check_projection("rademacher_projection_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), rademacher_projection_forward(y, x, matrix));
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  check_projection("rademacher_projection_backward", "dx", dx, "dy", dy);
  LIMBECK_DISPATCH(dy.device(), rademacher_projection_backward(dx, dy, matrix));
}

namespace cpu {
namespace {

using Index = std::int64_t;

// A task's share: it makes the signs of kDepth x kCols elements once and uses them for all of its
// rows.
constexpr Index kRows = 64;
constexpr Index kCols = 256;
constexpr Index kDepth = 256;
constexpr Index kQuads = kDepth / 4;
constexpr Index kRowTile = 4;

// index[quad][j]: the signs of columns (of Phi) d0 + 4 quad .. + 3 in row k0 + j.
template <int kWidth>
[[gnu::always_inline]] inline void index_rows(std::uint32_t* index, const RademacherMatrix& matrix,
                                              Index k0, Index rows, Index d0, Index depth) {
  std::uint32_t words[4][16];
  for (Index j = 0; j < rows; j += 16)
    for (Index d = 0; d < depth; d += 128) {
      make_sign_words(words, matrix, static_cast<std::uint32_t>(k0 + j),
                      static_cast<std::uint32_t>((d0 + d) / 128));
      std::uint32_t* out = index + d / 4 * kCols + j;
      for (int quad = 0; quad < 32; ++quad) {
#pragma omp simd
        for (int i = 0; i < 16; ++i)
          out[quad * kCols + i] = encode_quad<kWidth>(words[quad / 8][i] >> quad % 8 * 4 & 15u);
      }
    }
}

// index[quad][j]: the signs of rows k0 + 4 quad .. + 3 in column d0 + j.
template <int kWidth>
[[gnu::always_inline]] inline void index_columns(std::uint32_t* index,
                                                 const RademacherMatrix& matrix, Index d0,
                                                 Index columns, Index k0, Index depth) {
  std::uint32_t words[4][16];
  for (Index k = 0; k < depth; k += 16)
    for (Index j = 0; j < columns; j += 128) {
      make_sign_words(words, matrix, static_cast<std::uint32_t>(k0 + k),
                      static_cast<std::uint32_t>((d0 + j) / 128));
      for (int quad = 0; quad < 4; ++quad)
        for (int w = 0; w < 4; ++w) {
          const std::uint32_t* row = &words[w][4 * quad];
          std::uint32_t* out = index + (k / 4 + quad) * kCols + j + 32 * w;
#pragma omp simd
          for (int i = 0; i < 32; ++i)
            out[i] = encode_quad<kWidth>((row[0] >> i & 1u) | (row[1] >> i & 1u) << 1 |
                                         (row[2] >> i & 1u) << 2 | (row[3] >> i & 1u) << 3);
        }
    }
}

// The first `rows` rows of acc (kRows,kCols) += the block of signs applied to x.
template <class F, int kWidth, int kTile, class T>
[[gnu::always_inline]] inline void add_rows(F* acc, F* tables, const std::uint32_t* index,
                                            const T* x, Index x_row, Index depth, Index cols) {
  constexpr int kVectors = kWidth == 16 ? 4 : 2;
  for (int r = 0; r < kTile; ++r)
    make_tables(tables + r * kQuads * kQuadSums, x + r * x_row, depth);
  const Index quads = (depth + 3) / 4;
  Index j = 0;
  for (; j + kVectors * kWidth <= cols; j += kVectors * kWidth)
    add_lookups<F, kWidth, kTile, kVectors>(acc + j, kCols, tables, kQuads * kQuadSums, index + j,
                                            kCols, quads);
  for (; j < cols; j += kWidth)
    add_lookups<F, kWidth, kTile, 1>(acc + j, kCols, tables, kQuads * kQuadSums, index + j, kCols,
                                     quads);
}

// out (N,C) = scale * in (N,D) * signs; kForward: the signs are Phi^T, else Phi.
template <bool kForward, class T>
void sign_product(Tensor& out, const Tensor& in, const RademacherMatrix& matrix, double scale) {
  using F = ComputeType<T>;
  const Index N = in.dim(0), D = in.dim(1), C = out.dim(1);
  const Index col_blocks = (C + kCols - 1) / kCols;
  const F factor = static_cast<F>(scale);
  T* y = out.data<T>();
  const T* x = in.data<T>();
  parallel_for((N + kRows - 1) / kRows * col_blocks, [&](Index task) {
    const Index n0 = task / col_blocks * kRows, rows = std::min(kRows, N - n0);
    const Index j0 = task % col_blocks * kCols, cols = std::min(kCols, C - j0);
    Tensor sums = Tensor::zeros({kRows, kCols}, dtype_of<F>());
    Tensor room = Tensor::empty({kRowTile, kQuads, kQuadSums}, dtype_of<F>());
    Tensor numbers = Tensor::empty({kQuads, kCols}, DType::i32);
    F *acc = sums.data<F>(), *tables = room.data<F>();
    std::uint32_t* index = static_cast<std::uint32_t*>(numbers.raw());
    simd([&](auto lanes) {
      constexpr int kWidth = lanes.value;
      for (Index d = 0; d < D; d += kDepth) {
        const Index depth = std::min(kDepth, D - d);
        if constexpr (kForward)
          index_rows<kWidth>(index, matrix, j0, cols, d, depth);
        else
          index_columns<kWidth>(index, matrix, j0, cols, d, depth);
        const T* at = x + n0 * D + d;
        Index n = 0;
        for (; n + kRowTile <= rows; n += kRowTile)
          add_rows<F, kWidth, kRowTile>(acc + n * kCols, tables, index, at + n * D, D, depth, cols);
        for (; n < rows; ++n)
          add_rows<F, kWidth, 1>(acc + n * kCols, tables, index, at + n * D, D, depth, cols);
      }
      for (Index n = 0; n < rows; ++n) {
#pragma omp simd
        for (Index j = 0; j < cols; ++j) y[(n0 + n) * C + j0 + j] = acc[n * kCols + j] * factor;
      }
    });
  });
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    sign_product<true, T>(y, x, matrix, 1 / std::sqrt(static_cast<double>(y.dim(1))));
  });
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  visit_floating(dy.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    sign_product<false, T>(dx, dy, matrix, 1 / std::sqrt(static_cast<double>(dy.dim(1))));
  });
}

}  // namespace cpu
}  // namespace limbeck
