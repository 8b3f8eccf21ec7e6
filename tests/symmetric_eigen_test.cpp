// SPDX-License-Identifier: Apache-2.0
// Tests of the eigenvalues of symmetric matrices.
#include <limbeck/distill/symmetric_eigen.h>

#include <limits>
#include <numbers>

#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

Tensor matrix(const std::vector<double>& values) {
  const auto n = static_cast<std::int64_t>(std::lround(std::sqrt(values.size())));
  return Tensor::from(values, {n, n});
}

/// X X' of random x (n,d).
Tensor random_gram(std::int64_t n, std::int64_t d, double scale = 1) {
  const Tensor x = Tensor::from(random_values(n * d, scale), {n, d});
  Tensor gram = Tensor::empty({n, n}, DType::f64);
  matmul(gram, x, Trans::no, x, Trans::yes);
  return gram;
}

// Each value within n 2^-52 of the largest: what the algorithm promises.
void expect_values(const Tensor& a, const std::vector<double>& expected) {
  expect_close(symmetric_eigenvalues(a), expected, 1e-15 * static_cast<double>(a.dim(0)));
}

TEST(SymmetricEigen, HandNumbers) {
  expect_values(matrix({7}), {7});
  expect_values(matrix({2, 1, 1, 2}), {1, 3});
  expect_values(matrix({-1, 0, 0, 0, 5, 0, 0, 0, 2}), {-1, 2, 5});
  expect_values(matrix({0, 0, 0, 0}), {0, 0});
  // All ones: 4 once, and a triple 0.
  expect_values(matrix(std::vector<double>(16, 1.0)), {0, 0, 0, 4});
  // (2,-1) on three diagonals has 2 - 2 cos(k pi / (n+1)).
  const std::int64_t n = 9;
  std::vector<double> a(n * n, 0.0), expected;
  for (std::int64_t i = 0; i < n; ++i) {
    a[static_cast<std::size_t>(i * n + i)] = 2;
    if (i + 1 < n) a[static_cast<std::size_t>(i * n + i + 1)] = -1;
    if (i > 0) a[static_cast<std::size_t>(i * n + i - 1)] = -1;
    expected.push_back(2 - 2 * std::cos((i + 1) * std::numbers::pi / (n + 1)));
  }
  expect_values(matrix(a), expected);
}

TEST(SymmetricEigen, SumsOfPowersAreTraces) {
  for (const double scale : {1.0, 1e-60, 1e60}) {
    const Tensor a = random_gram(37, 50, scale);
    Tensor square = Tensor::empty_like(a);
    matmul(square, a, Trans::no, a, Trans::no);
    double trace = 0, trace2 = 0, sum = 0, sum2 = 0;
    for (std::int64_t i = 0; i < 37; ++i) {
      trace += a.data<double>()[i * 38];
      trace2 += square.data<double>()[i * 38];
    }
    for (const double value : symmetric_eigenvalues(a)) {
      sum += value;
      sum2 += value * value;
    }
    EXPECT_NEAR(sum / trace, 1, 1e-13);
    EXPECT_NEAR(sum2 / trace2, 1, 1e-13);
  }
}

TEST(SymmetricEigen, ProductsOfBothSidesShareThem) {
  // X X' has the eigenvalues of X' X and 14 - 5 zeros besides.
  const Tensor x = Tensor::from(random_values(14 * 5), {14, 5});
  Tensor wide = Tensor::empty({14, 14}, DType::f64), narrow = Tensor::empty({5, 5}, DType::f64);
  matmul(wide, x, Trans::no, x, Trans::yes);
  matmul(narrow, x, Trans::yes, x, Trans::no);
  std::vector<double> expected(9, 0.0);
  for (const double value : symmetric_eigenvalues(narrow)) expected.push_back(value);
  expect_values(wide, expected);
}

TEST(SymmetricEigen, SameBitsForThreadsAndInstructionSets) {
  const Tensor a = random_gram(21, 8);
  expect_same_bits([&] { return std::vector{Tensor::from(symmetric_eigenvalues(a), {21})}; });
}

TEST(SymmetricEigen, Rejections) {
  expect_error(
      [] {
        symmetric_eigenvalues(Tensor::zeros({2, 3}, DType::f64));
      },
      "symmetric_eigenvalues: matrix is f64 (2,3) on cpu; expected f64 (n,n) on the CPU");
  expect_error([] { symmetric_eigenvalues(Tensor::zeros({2, 2})); }, "matrix is f32 (2,2)");
  expect_error([] { symmetric_eigenvalues(Tensor::zeros({0, 0}, DType::f64)); }, "f64 (0,0)");
  expect_error(
      [] {
        symmetric_eigenvalues(matrix({1, 0, std::numeric_limits<double>::infinity(), 1}));
      },
      "symmetric_eigenvalues: element (1,0) is inf; expected finite ones");
}

}  // namespace
}  // namespace limbeck::testing
