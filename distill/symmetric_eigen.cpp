// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/symmetric_eigen.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

using Values = std::vector<double>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Tridiagonal {
  Values diagonal, beside;  ///< beside[i] is in row i, column i + 1
};

/// The part of a below and right of (k,k), m x m with rows n apart, becomes H a H, where
/// H = I - scale v v': a - v w' - w v' with w = p - (scale/2 p'v) v, p = scale a v.
void reflect(double* part, std::int64_t m, std::int64_t n, const Values& v, double scale) {
  Values w(at(m), 0.0);
  for (std::int64_t i = 0; i < m; ++i)  // a is symmetric: sums over rows run along them
    for (std::int64_t j = 0; j < m; ++j) w[at(j)] += scale * v[at(i)] * part[i * n + j];
  double product = 0;
  for (std::int64_t i = 0; i < m; ++i) product += w[at(i)] * v[at(i)];
  for (std::int64_t i = 0; i < m; ++i) w[at(i)] -= scale / 2 * product * v[at(i)];
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j)
      part[i * n + j] -= v[at(i)] * w[at(j)] + w[at(i)] * v[at(j)];
}

/// Column by column, what lies below the diagonal's neighbour is reflected away.
Tridiagonal tridiagonal(double* a, std::int64_t n) {
  Tridiagonal t{Values(at(n)), Values(at(n), 0.0)};
  for (std::int64_t k = 0; k + 1 < n; ++k) {
    const std::int64_t m = n - k - 1;
    Values v(at(m));
    double square = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      v[at(i)] = a[(k + 1 + i) * n + k];
      square += v[at(i)] * v[at(i)];
    }
    const double length = v[0] > 0 ? -std::sqrt(square) : std::sqrt(square);
    t.diagonal[at(k)] = a[k * n + k];
    t.beside[at(k)] = length;
    v[0] -= length;  // of opposite signs: nothing cancels
    const double scale = square - length * a[(k + 1) * n + k];  // |v|^2 / 2
    if (scale > 0) reflect(a + (k + 1) * n + k + 1, m, n, v, 1 / scale);
  }
  t.diagonal[at(n - 1)] = a[n * n - 1];
  return t;
}

/// below[k]: how many eigenvalues are less than x[k]: as many as the pivots of t - x[k] below 0.
void count_below(Values& below, const Tridiagonal& t, const Values& x) {
  constexpr double kLeastPivot = 1e-290;
  const auto n = static_cast<std::int64_t>(x.size());
  Values pivot(x.size(), 1.0);
  std::fill(below.begin(), below.end(), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = t.diagonal[at(i)];
    const double e = i > 0 ? t.beside[at(i - 1)] : 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const double q = d - x[at(k)] - e * e / pivot[at(k)];
      pivot[at(k)] = std::abs(q) < kLeastPivot ? -kLeastPivot : q;
      below[at(k)] += pivot[at(k)] < 0 ? 1 : 0;
    }
  }
}

/// Eigenvalues in [-1, 1], each kept between two bounds until these are neighbours.
Values bisect(const Tridiagonal& t) {
  constexpr int kHalvings = 54;
  const std::size_t n = t.diagonal.size();
  Values low(n, -1.0), high(n, 1.0), middle(n), below(n);
  for (int halving = 0; halving < kHalvings; ++halving) {
    for (std::size_t k = 0; k < n; ++k) middle[k] = (low[k] + high[k]) / 2;
    count_below(below, t, middle);
    for (std::size_t k = 0; k < n; ++k)
      (below[k] > static_cast<double>(k) ? high : low)[k] = middle[k];
  }
  return middle;
}

}  // namespace

std::vector<double> symmetric_eigenvalues(const Tensor& a) {
  LIMBECK_CHECK(a.rank() == 2 && a.dim(0) == a.dim(1) && a.numel() > 0 && a.dtype() == DType::f64 &&
                    !a.device().is_cuda(),
                "symmetric_eigenvalues: matrix is ", a.dtype(), " ", a.shape(), " on ",
                a.device().str(), "; expected f64 (n,n) on the CPU");
  const std::int64_t n = a.dim(0);
  Tensor work = a.clone();
  double* values = work.data<double>();
  double largest = 0;
  for (std::int64_t i = 0; i < n * n; ++i) {
    LIMBECK_CHECK(std::isfinite(values[i]), "symmetric_eigenvalues: element (", i / n, ",", i % n,
                  ") is ", values[i], "; expected finite ones");
    largest = std::max(largest, std::abs(values[i]));
  }
  if (largest == 0) return Values(at(n), 0.0);
  const double bound = largest * static_cast<double>(n);  // no eigenvalue is larger
  for (std::int64_t i = 0; i < n * n; ++i) values[i] /= bound;
  Values found = bisect(tridiagonal(values, n));
  for (double& value : found) value *= bound;
  return found;
}

}  // namespace limbeck
