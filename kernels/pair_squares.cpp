// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/pair_squares.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/pair_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void pair_squares_forward(Tensor& squares, const Tensor& x) {
  check_rows("pair_squares_forward", "x", x);
  check_pairs("pair_squares_forward", "squares", squares, x.dim(0), x.device());
  LIMBECK_DISPATCH(x.device(), pair_squares_forward(squares, x));
}

void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor) {
  check_rows("pair_squares_backward", "x", x);
  check_like("pair_squares_backward", "dx", dx, "x", x);
  check_pairs("pair_squares_backward", "dsquares", dsquares, x.dim(0), x.device());
  check_statistics("pair_squares_backward", "factor", factor, {1}, x);
  LIMBECK_DISPATCH(x.device(), pair_squares_backward(dx, x, dsquares, factor));
}

namespace cpu {
namespace {

constexpr int kRows = 4;  // that share what is loaded of a partner

/// squares of rows [begin, begin + 4) with all later ones, at both their places, and the diagonal.
void squares_of_rows(double* squares, const double* x, std::int64_t begin, std::int64_t N,
                     std::int64_t D) {
  const auto row = [=](std::int64_t i) { return x + (i < N ? i : N - 1) * D; };
  const double *a = row(begin), *b = row(begin + 1), *c = row(begin + 2), *d = row(begin + 3);
  for (std::int64_t j = begin; j < N; ++j) {
    double sums[kRows];
    wide_sums(sums, D, [=, y = x + j * D](auto& sum, std::int64_t lane, std::int64_t k) {
      const double to[kRows] = {a[k] - y[k], b[k] - y[k], c[k] - y[k], d[k] - y[k]};
      sum[0][lane] = math::fma(to[0], to[0], sum[0][lane]);
      sum[1][lane] = math::fma(to[1], to[1], sum[1][lane]);
      sum[2][lane] = math::fma(to[2], to[2], sum[2][lane]);
      sum[3][lane] = math::fma(to[3], to[3], sum[3][lane]);
    });
    for (std::int64_t i = begin; i < begin + kRows && i <= j; ++i)
      squares[i * N + j] = squares[j * N + i] = sums[i - begin];
  }
}

constexpr std::int64_t kColumns = 32;  // of x that a task keeps at hand

/// Rows [i, i + 4) of kWidth columns, of which tile (N,32) has x and out takes sum_j g_ij (x_i -
/// x_j); g (N,N).
template <int kWidth>
void gradient_of_rows(double* out, const double* tile, const double* g, std::int64_t i,
                      std::int64_t N) {
  const auto row = [=](int k) { return i + k < N ? i + k : N - 1; };
  double x[kRows][kWidth], sum[kRows][kWidth] = {};
  for (int k = 0; k < kRows; ++k)
    for (int c = 0; c < kWidth; ++c) x[k][c] = tile[row(k) * kColumns + c];
  const double *g0 = g + row(0) * N, *g1 = g + row(1) * N;
  const double *g2 = g + row(2) * N, *g3 = g + row(3) * N;
  for (std::int64_t j = 0; j < N; ++j) {
    const double* y = tile + j * kColumns;
#pragma omp simd
    for (int c = 0; c < kWidth; ++c) {
      sum[0][c] = math::fma(g0[j], x[0][c] - y[c], sum[0][c]);
      sum[1][c] = math::fma(g1[j], x[1][c] - y[c], sum[1][c]);
      sum[2][c] = math::fma(g2[j], x[2][c] - y[c], sum[2][c]);
      sum[3][c] = math::fma(g3[j], x[3][c] - y[c], sum[3][c]);
    }
  }
  for (int k = 0; k < kRows; ++k)
    for (int c = 0; c < kWidth; ++c) out[k * kColumns + c] = sum[k][c];
}

/// x, dx (N,D) and g (N,N): columns [begin, begin + count) of dx, count <= 32.
template <class T>
struct Columns {
  const T* x;
  T* dx;
  const double* g;
  std::int64_t N, D, begin, count;
  double twice;  ///< 2 factor

  /// kWidth columns at a time, which changes no sum.
  template <int kWidth>
  void write(double* tile) const {
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t c = 0; c < kColumns; ++c)
        tile[n * kColumns + c] = c < count ? static_cast<ComputeType<T>>(x[n * D + begin + c]) : 0;
    for (std::int64_t i = 0; i < N; i += kRows) {
      double out[kRows * kColumns];
      for (std::int64_t c = 0; c < count; c += kWidth)
        gradient_of_rows<kWidth>(out + c, tile + c, g, i, N);
      for (std::int64_t k = 0; k < kRows && i + k < N; ++k)
        for (std::int64_t c = 0; c < count; ++c)
          dx[(i + k) * D + begin + c] =
              static_cast<T>(static_cast<ComputeType<T>>(twice * out[k * kColumns + c]));
    }
  }
};

}  // namespace

void pair_squares_forward(Tensor& squares, const Tensor& x) {
  const std::int64_t N = x.dim(0), D = x.dim(1);
  const Tensor full = x.to(DType::f64);
  const std::int64_t groups = (N + kRows - 1) / kRows;
  // The first rows have the most later ones, the last the fewest: a task takes one group of each.
  parallel_for((groups + 1) / 2, [&](std::int64_t t) {
    simd([=, out = squares.data<double>(), in = full.data<double>()](auto) {
      squares_of_rows(out, in, t * kRows, N, D);
      const std::int64_t other = groups - 1 - t;
      if (other != t) squares_of_rows(out, in, other * kRows, N, D);
    });
  });
}

void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t N = x.dim(0), D = x.dim(1);
    const double twice = 2.0 * *factor.data<ComputeType<T>>();
    parallel_ranges(D, kColumns, [&](std::int64_t begin, std::int64_t end) {
      Tensor tile = Tensor::empty({N, kColumns}, DType::f64);
      const Columns<T> columns{x.data<T>(), dx.data<T>(), dsquares.data<double>(), N, D, begin,
                               end - begin, twice};
      simd([=, room = tile.data<double>()](auto lanes) {
        columns.template write<lanes.value>(room);
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck
