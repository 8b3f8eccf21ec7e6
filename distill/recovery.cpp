// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/recovery.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

Tensor doubles(const Tensor& t) { return t.to(Device::cpu()).to(DType::f64); }

void check_system(const char* op, const Tensor& phi, const Tensor& y) {
  LIMBECK_CHECK(phi.defined() && phi.rank() == 2 && phi.numel() > 0 && is_floating(phi.dtype()), op,
                ": phi has shape ", phi.defined() ? phi.shape() : Shape{},
                "; expected floating (K,D) with K, D >= 1");
  LIMBECK_CHECK(y.defined() && y.rank() == 2 && y.dim(1) == phi.dim(0) && is_floating(y.dtype()),
                op, ": y has shape ", y.defined() ? y.shape() : Shape{}, ", phi ", phi.shape(),
                "; expected floating (N,K)");
}

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// y += alpha x.
void add_scaled(double* y, double alpha, const double* x, std::int64_t n) {
  simd([=](auto) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
  });
}

/// The pursuit of one row.
class Pursuit {
 public:
  Pursuit(const double* phi, std::int64_t K, std::int64_t D, const OmpOptions& options)
      : phi_(phi),
        K_(K),
        D_(D),
        options_(options),
        residual_(size(K)),
        correlation_(size(D)),
        q_(size(options.sparsity * K)),
        r_(size(options.sparsity * options.sparsity)) {}

  /// x (D), all 0 before, for the measurements y (K).
  void run(double* x, const double* y) {
    std::copy_n(y, K_, residual_.begin());
    support_.clear();
    projections_.clear();
    const double enough = options_.tolerance * std::sqrt(dot(y, y, K_));
    while (std::ssize(support_) < options_.sparsity &&
           std::sqrt(dot(residual_.data(), residual_.data(), K_)) > enough)
      if (!add_column(best_column())) break;
    solve(x);
  }

 private:
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
  double* q(std::int64_t i) { return q_.data() + i * K_; }
  double& r(std::int64_t i, std::int64_t j) { return r_[size(i * options_.sparsity + j)]; }

  std::int64_t best_column() {
    std::fill(correlation_.begin(), correlation_.end(), 0);
    for (std::int64_t k = 0; k < K_; ++k)
      add_scaled(correlation_.data(), residual_[size(k)], phi_ + k * D_, D_);
    for (const std::int64_t d : support_) correlation_[size(d)] = 0;
    return std::max_element(correlation_.begin(), correlation_.end(),
                            [](double a, double b) { return std::abs(a) < std::abs(b); }) -
           correlation_.begin();
  }

  // Gram and Schmidt, twice: once leaves an error of the condition number times a rounding.
  bool add_column(std::int64_t d) {
    const std::int64_t n = std::ssize(support_);
    double* column = q(n);
    for (std::int64_t k = 0; k < K_; ++k) column[k] = phi_[k * D_ + d];
    const double length = std::sqrt(dot(column, column, K_));
    for (std::int64_t i = 0; i < n; ++i) r(i, n) = 0;
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t i = 0; i < n; ++i) {
        const double share = dot(q(i), column, K_);
        r(i, n) += share;
        add_scaled(column, -share, q(i), K_);
      }
    const double rest = std::sqrt(dot(column, column, K_));
    if (!(rest > 1e-12 * length)) return false;
    r(n, n) = rest;
    for (std::int64_t k = 0; k < K_; ++k) column[k] /= rest;
    const double projection = dot(column, residual_.data(), K_);
    add_scaled(residual_.data(), -projection, column, K_);
    support_.push_back(d);
    projections_.push_back(projection);
    return true;
  }

  // R x = Q^T y on the support, from the last row up.
  void solve(double* x) {
    for (std::int64_t i = std::ssize(support_) - 1; i >= 0; --i) {
      double sum = projections_[size(i)];
      for (std::int64_t j = i + 1; j < std::ssize(support_); ++j)
        sum -= r(i, j) * x[support_[size(j)]];
      x[support_[size(i)]] = sum / r(i, i);
    }
  }

  const double* phi_;
  std::int64_t K_, D_;
  OmpOptions options_;
  std::vector<double> residual_, correlation_;
  std::vector<double> q_;  // orthonormal columns, one after the other
  std::vector<double> r_;  // upper triangle
  std::vector<std::int64_t> support_;
  std::vector<double> projections_;  // Q^T y
};

// lambda of every row: relative_lambda max |Phi^T y|.
std::vector<double> lambdas(const Tensor& phi, const Tensor& y, double relative_lambda) {
  Tensor correlation = Tensor::empty({y.dim(0), phi.dim(1)}, DType::f64);
  matmul(correlation, y, Trans::no, phi, Trans::no);
  const std::int64_t D = phi.dim(1);
  std::vector<double> lambda;
  for (std::int64_t n = 0; n < y.dim(0); ++n) {
    double largest = 0;
    for (std::int64_t d = 0; d < D; ++d)
      largest = std::max(largest, std::abs(correlation.data<double>()[n * D + d]));
    lambda.push_back(relative_lambda * largest);
  }
  return lambda;
}

/// One row's shrinkage step and momentum: x moves to soft(w - eta gradient, eta lambda), and w
/// ahead of it by `momentum` times the step.
void shrink_row(double* x, double* w, const double* gradient, double eta, double threshold,
                double momentum, std::int64_t D) {
  simd([=](auto) {
#pragma omp simd
    for (std::int64_t d = 0; d < D; ++d) {
      const double v = w[d] - eta * gradient[d];
      const double size = std::abs(v) - threshold;
      const double next = size > 0 ? (v < 0 ? -size : size) : 0.0;
      w[d] = next + momentum * (next - x[d]);
      x[d] = next;
    }
  });
}

}  // namespace

Tensor omp(const Tensor& phi, const Tensor& y, const OmpOptions& options) {
  check_system("omp", phi, y);
  const std::int64_t K = phi.dim(0), D = phi.dim(1), N = y.dim(0);
  LIMBECK_CHECK(options.sparsity >= 1 && options.sparsity <= std::min(K, D), "omp: sparsity is ",
                options.sparsity, ", phi ", phi.shape(), "; expected 1 to ", std::min(K, D));
  LIMBECK_CHECK(options.tolerance >= 0, "omp: tolerance is ", options.tolerance, "; expected >= 0");
  const Tensor matrix = doubles(phi), measured = doubles(y);
  Tensor x = Tensor::zeros({N, D}, DType::f64);
  const double *in = measured.data<double>(), *elements = matrix.data<double>();
  double* out = x.data<double>();
  parallel_for(
      N, [&](std::int64_t n) { Pursuit(elements, K, D, options).run(out + n * D, in + n * K); });
  return x;
}

double squared_norm_bound(const Tensor& phi) {
  check_system("squared_norm_bound", phi, Tensor::zeros({0, phi.dim(0)}));
  const Tensor matrix = doubles(phi);
  const std::int64_t K = phi.dim(0);
  Tensor gram = Tensor::empty({K, K}, DType::f64), square = Tensor::empty_like(gram);
  matmul(gram, matrix, Trans::no, matrix, Trans::yes);
  const auto trace = [&] {
    double sum = 0;
    for (std::int64_t k = 0; k < K; ++k) sum += gram.data<double>()[k * K + k];
    return sum;
  };
  double bound = 1;  // times gram^power is G^power
  double power = 1;
  for (;; power *= 2) {
    const double t = trace();  // at least the largest eigenvalue: then all powers are at most 1
    if (t == 0) return 0;
    scale(gram, gram, 1 / t);
    bound *= std::pow(t, 1 / power);
    if (power == 32) return bound;
    matmul(square, gram, Trans::no, gram, Trans::no);
    std::swap(gram, square);
  }
}

Tensor fista(const Tensor& phi, const Tensor& y, const FistaOptions& options) {
  check_system("fista", phi, y);
  LIMBECK_CHECK(options.relative_lambda > 0, "fista: relative_lambda is ", options.relative_lambda,
                "; expected > 0");
  LIMBECK_CHECK(options.iterations >= 0, "fista: iterations is ", options.iterations,
                "; expected >= 0");
  const std::int64_t D = phi.dim(1), N = y.dim(0);
  const Tensor matrix = doubles(phi), measured = doubles(y);
  const std::vector<double> lambda = lambdas(matrix, measured, options.relative_lambda);
  Tensor x = Tensor::zeros({N, D}, DType::f64), w = Tensor::zeros({N, D}, DType::f64);
  Tensor residual = Tensor::empty_like(measured), gradient = Tensor::empty_like(x);
  const double bound = squared_norm_bound(matrix);
  if (bound == 0) return x;
  double t = 1;
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    matmul(residual, w, Trans::no, matrix, Trans::yes);
    axpy(residual, -1, measured);
    matmul(gradient, residual, Trans::no, matrix, Trans::no);
    const double next = (1 + std::sqrt(1 + 4 * t * t)) / 2;
    for (std::int64_t n = 0; n < N; ++n)
      shrink_row(x.data<double>() + n * D, w.data<double>() + n * D,
                 gradient.data<double>() + n * D, 1 / bound,
                 lambda[static_cast<std::size_t>(n)] / bound, (t - 1) / next, D);
    t = next;
  }
  return x;
}

}  // namespace limbeck
