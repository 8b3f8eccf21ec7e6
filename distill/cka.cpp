// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/cka.h>

#include <cmath>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/distill/feature_gram.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

void check_gram(const char* who, const Tensor& gram, std::int64_t least) {
  LIMBECK_CHECK(gram.rank() == 2 && gram.dim(0) == gram.dim(1) && gram.dim(0) >= least &&
                    gram.dtype() == DType::f64 && !gram.device().is_cuda(),
                who, ": Gram matrix is ", gram.dtype(), " ", gram.shape(), " on ",
                gram.device().str(), "; expected f64 (n,n) with n >= ", least, " on the CPU");
}

/// Sums of each row; the diagonal counts or not.
std::vector<double> row_sums(const double* k, std::int64_t n, bool diagonal) {
  std::vector<double> sums(static_cast<std::size_t>(n), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      if (diagonal || i != j) sums[static_cast<std::size_t>(i)] += k[i * n + j];
  return sums;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double v : values) total += v;
  return total;
}

double dot(const Tensor& a, const Tensor& b) {
  const double *x = a.data<double>(), *y = b.data<double>();
  double total = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) total += x[i] * y[i];
  return total;
}

/// What a batch of n adds to a sum of HSICs: a mean over pairs, weighted alike for every batch.
double hsic_factor(CkaKind kind, std::int64_t n) {
  const auto m = static_cast<double>(n);
  return kind == CkaKind::unbiased ? 1 / (m * (m - 3)) : 1 / ((m - 1) * (m - 1));
}

double aligned(double cross, double self_a, double self_b) {
  return self_a > 0 && self_b > 0 ? cross / std::sqrt(self_a * self_b) : 0;
}

/// self[r] += factor |grams[r]|^2.
void add_squares(Tensor& self, const Tensor& grams, double factor) {
  for (std::int64_t r = 0; r < self.numel(); ++r) {
    const Tensor gram = grams.rows(r, r + 1);
    self.data<double>()[r] += factor * dot(gram, gram);
  }
}

}  // namespace

Tensor centre(const Tensor& gram) {
  check_gram("centre", gram, 2);
  const std::int64_t n = gram.dim(0);
  const double* k = gram.data<double>();
  std::vector<double> mean = row_sums(k, n, true);
  for (double& m : mean) m /= static_cast<double>(n);
  const double all = sum(mean) / static_cast<double>(n);
  Tensor centred = Tensor::empty({n, n}, DType::f64);
  double* out = centred.data<double>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      out[i * n + j] = k[i * n + j] -
                       (mean[static_cast<std::size_t>(i)] + mean[static_cast<std::size_t>(j)]) +
                       all;
  return centred;
}

Tensor centre_unbiased(const Tensor& gram) {
  check_gram("centre_unbiased", gram, 4);
  const std::int64_t n = gram.dim(0);
  const double* k = gram.data<double>();
  std::vector<double> mean = row_sums(k, n, false);
  const double all = sum(mean) / static_cast<double>((n - 1) * (n - 2));
  for (double& m : mean) m /= static_cast<double>(n - 2);
  Tensor centred = Tensor::zeros({n, n}, DType::f64);
  double* out = centred.data<double>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      if (i != j)
        out[i * n + j] = k[i * n + j] -
                         (mean[static_cast<std::size_t>(i)] + mean[static_cast<std::size_t>(j)]) +
                         all;
  return centred;
}

Tensor centred_gram(const Tensor& features, CkaKind kind, double rbf_scale) {
  if (kind == CkaKind::rbf) return centre(rbf_gram(features, rbf_scale));
  const Tensor gram = linear_gram(features);  // its features are centred
  return kind == CkaKind::linear ? gram : centre_unbiased(gram);
}

double unbiased_hsic(const Tensor& k, const Tensor& l) {
  const Tensor a = centre_unbiased(k), b = centre_unbiased(l);
  LIMBECK_CHECK(a.shape() == b.shape(), "unbiased_hsic: Gram matrices are ", k.shape(), " and ",
                l.shape(), "; expected equal shapes");
  return dot(a, b) * hsic_factor(CkaKind::unbiased, k.dim(0));
}

double cka(const Tensor& x, const Tensor& y, CkaKind kind, double rbf_scale) {
  const Tensor a = centred_gram(x, kind, rbf_scale), b = centred_gram(y, kind, rbf_scale);
  LIMBECK_CHECK(a.shape() == b.shape(), "cka: features of ", a.dim(0), " and of ", b.dim(0),
                " samples; expected the same samples");
  return aligned(dot(a, b), dot(a, a), dot(b, b));
}

CkaMatrix::CkaMatrix(std::int64_t rows, std::int64_t columns, CkaKind kind)
    : kind_(kind),
      cross_(Tensor::zeros({rows, columns}, DType::f64)),
      self_a_(Tensor::zeros({rows}, DType::f64)),
      self_b_(Tensor::zeros({columns}, DType::f64)) {
  LIMBECK_CHECK(rows >= 1 && columns >= 1, "CkaMatrix: ", rows, " rows and ", columns,
                " columns; expected at least one of each");
}

void CkaMatrix::add(const Tensor& a, const Tensor& b) {
  const std::int64_t n = a.rank() == 3 ? a.dim(1) : 0;
  LIMBECK_CHECK(n >= 2 && a.shape() == (Shape{cross_.dim(0), n, n}) &&
                    b.shape() == (Shape{cross_.dim(1), n, n}),
                "CkaMatrix: Gram matrices are ", a.shape(), " and ", b.shape(), "; expected (",
                cross_.dim(0), ",n,n) and (", cross_.dim(1), ",n,n)");
  const double factor = hsic_factor(kind_, n);
  Tensor products = Tensor::empty(cross_.shape(), DType::f64);
  matmul(products, a.reshape({a.dim(0), n * n}), Trans::no, b.reshape({b.dim(0), n * n}),
         Trans::yes);
  for (std::int64_t i = 0; i < products.numel(); ++i)
    cross_.data<double>()[i] += factor * products.data<double>()[i];
  add_squares(self_a_, a, factor);
  add_squares(self_b_, b, factor);
  empty_ = false;
}

Tensor CkaMatrix::result() const {
  LIMBECK_CHECK(!empty_, "CkaMatrix: no batch was added; expected at least one");
  Tensor matrix = Tensor::empty(cross_.shape(), DType::f64);
  for (std::int64_t r = 0; r < cross_.dim(0); ++r)
    for (std::int64_t c = 0; c < cross_.dim(1); ++c)
      matrix.data<double>()[r * cross_.dim(1) + c] =
          aligned(cross_.data<double>()[r * cross_.dim(1) + c], self_a_.data<double>()[r],
                  self_b_.data<double>()[c]);
  return matrix;
}

}  // namespace limbeck
