// SPDX-License-Identifier: Apache-2.0
// Sparse vectors from few measurements: exact where they must be, and as fast as promised.
#include <limbeck/distill/recovery.h>

#include <limbeck/distill/measurement_matrix.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Kind = MeasurementKind;

/// N vectors of D elements, `sparsity` of them not 0: every stride-th from an offset of their own.
Tensor sparse_rows(std::int64_t N, std::int64_t D, std::int64_t sparsity) {
  Tensor x = Tensor::zeros({N, D}, DType::f64);
  const std::vector<double> values = random_values(N * sparsity, 1, 5);
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t i = 0; i < sparsity; ++i) {
      const double v = values[static_cast<std::size_t>(n * sparsity + i)];
      x.data<double>()[n * D + (i * (D / sparsity) + 3 * n) % D] = v + (v < 0 ? -0.5 : 0.5);
    }
  return x;
}

// Columns (1,0), (0,1) and (3,4)/5 scaled by 10; y = 2 column 1 - 0.5 column 2 is (-3, -2): the
// third correlates most (-34), then the first with what is left: the two say it all.
TEST(Omp, HandNumbers) {
  const Tensor phi = Tensor::from<double>({1, 0, 6, 0, 1, 8}, {2, 3});
  const Tensor y = Tensor::from<double>({-3, -2, 0, 0}, {2, 2});
  expect_close(omp(phi, y, {.sparsity = 1}), {0, 0, -0.34, 0, 0, 0}, 1e-15);
  // -0.34 times (6, 8) leaves (-0.96, 0.72): the first column.
  expect_close(omp(phi, y, {.sparsity = 2}), {-1.5, 0, -0.25, 0, 0, 0}, 1e-14);
  expect_close(omp(phi, y, {.sparsity = 2, .tolerance = 0.5}), {0, 0, -0.34, 0, 0, 0}, 1e-15);
}

TEST(Omp, RecoversSparseVectorsExactly) {
  const std::int64_t D = 128, K = 72, sparsity = 5;
  const Tensor x = sparse_rows(20, D, sparsity);
  for (const Kind kind : {Kind::rademacher, Kind::gaussian, Kind::achlioptas, Kind::srht}) {
    const MeasurementMatrix matrix(kind, K, D, 1, 0, DType::f64);
    const Tensor found = omp(matrix.dense(), matrix.apply(x), {sparsity});
    expect_close(found, to_doubles(x), 1e-12, std::string(measurement_name(kind)));
  }
}

// What was allowed beyond what is there is not used.
TEST(Omp, StopsWhereNothingIsLeft) {
  const MeasurementMatrix matrix(Kind::rademacher, 60, 100, 1);
  const Tensor x = sparse_rows(4, 100, 3);
  const Tensor y = matrix.apply(x.to(DType::f32));  // codes of training: rounding is not signal
  const std::vector<double> found = to_doubles(omp(matrix.dense(), y, {.sparsity = 30}));
  int nonzeros = 0;
  for (const double v : found) nonzeros += v != 0;
  EXPECT_EQ(nonzeros, 12);
  expect_close(found, to_doubles(x), 1e-6);
}

TEST(Omp, ResidualIsOrthogonalToTheSupport) {
  const std::int64_t K = 20, D = 50, sparsity = 12;
  const Tensor phi = MeasurementMatrix(Kind::gaussian, K, D, 2, 0, DType::f64).dense();
  const Tensor y = Tensor::from(random_values(K), {1, K});
  const std::vector<double> x = to_doubles(omp(phi, y, {sparsity})), a = to_doubles(phi);
  std::vector<double> residual = to_doubles(y);
  for (std::size_t k = 0; k < 20; ++k)
    for (std::size_t d = 0; d < 50; ++d) residual[k] -= a[k * 50 + d] * x[d];
  int support = 0;
  for (std::size_t d = 0; d < 50; ++d) {
    if (x[d] == 0) continue;
    double correlation = 0;
    for (std::size_t k = 0; k < 20; ++k) correlation += a[k * 50 + d] * residual[k];
    EXPECT_NEAR(correlation, 0, 1e-13);
    ++support;
  }
  EXPECT_EQ(support, sparsity);
}

TEST(Omp, DependentColumnsEndTheRow) {
  const Tensor phi = Tensor::from<double>({1, 2, 3, 0, 0, 0}, {2, 3});
  expect_close(omp(phi, Tensor::from<double>({6, 1}, {1, 2}), {.sparsity = 2}), {0, 0, 2}, 1e-15);
}

TEST(SquaredNormBound, IsAnUpperBoundAndNear) {
  // |diag(1,2,3)|^2 = 9.
  const Tensor diagonal = Tensor::from<double>({1, 0, 0, 0, 2, 0, 0, 0, 3}, {3, 3});
  EXPECT_NEAR(squared_norm_bound(diagonal), 9, 1e-9);
  EXPECT_EQ(squared_norm_bound(Tensor::zeros({2, 3})), 0);
  const std::int64_t K = 30;  // all rows of a transform: |Phi|^2 = P/K, K times over
  const Tensor phi = MeasurementMatrix(Kind::srht, K, 64, 1, 0, DType::f64).dense();
  EXPECT_NEAR(squared_norm_bound(phi), 64.0 / 30 * std::pow(30, 1.0 / 32), 1e-12);
}

/// A problem whose solution is known (Nesterov, "Gradient methods for minimizing composite
/// functions", 2013): columns are scaled so that the residual meets the optimality conditions.
struct KnownProblem {
  static constexpr std::int64_t K = 24, D = 60, kNonzeros = 5;
  Tensor phi = Tensor::empty({K, D}, DType::f64), y = Tensor::empty({1, K}, DType::f64);
  std::vector<double> solution = std::vector<double>(D, 0);
  double lambda = 0.7;

  KnownProblem() {
    const std::vector<double> b = random_values(K * D, 1, 1), r = random_values(K, 1, 2);
    const std::vector<double> other = random_values(D, 1, 3);
    for (std::size_t k = 0; k < K; ++k) y.data<double>()[k] = r[k];
    for (std::size_t d = 0; d < D; ++d) {
      double g = 0;  // column times residual
      for (std::size_t k = 0; k < K; ++k) g += b[k * D + d] * r[k];
      const bool active = d < kNonzeros;
      // lambda on the support, less elsewhere.
      const double target = active ? lambda : lambda * 0.95 * std::abs(other[d]);
      if (active) solution[d] = (g < 0 ? -1 : 1) * (0.5 + std::abs(other[d]));
      for (std::size_t k = 0; k < K; ++k) {
        const double shrunk = active || std::abs(g) > target ? target / std::abs(g) : 1;
        const double element = b[k * D + d] * shrunk;
        phi.data<double>()[k * D + d] = element;
        y.data<double>()[k] += element * solution[d];
      }
    }
  }
  double objective(const std::vector<double>& x) const {
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k) {
      double gap = -y.data<double>()[k];
      for (std::size_t d = 0; d < D; ++d) gap += phi.data<double>()[k * D + d] * x[d];
      sum += gap * gap / 2;
    }
    for (const double v : x) sum += lambda * std::abs(v);
    return sum;
  }
  double largest_correlation() const {
    double largest = 0;
    for (std::size_t d = 0; d < D; ++d) {
      double sum = 0;
      for (std::size_t k = 0; k < K; ++k)
        sum += phi.data<double>()[k * D + d] * y.data<double>()[k];
      largest = std::max(largest, std::abs(sum));
    }
    return largest;
  }
};

TEST(Fista, ObjectiveStaysBelowTheBound) {
  const KnownProblem problem;
  const double relative = problem.lambda / problem.largest_correlation();
  const double best = problem.objective(problem.solution), L = squared_norm_bound(problem.phi);
  double length = 0;
  for (const double v : problem.solution) length += v * v;
  double gap = 0;
  for (std::int64_t k = 0; k <= 400; k = k < 20 ? k + 1 : k * 2) {
    gap = problem.objective(to_doubles(fista(problem.phi, problem.y, {relative, k}))) - best;
    EXPECT_LE(gap, 2 * length * L / static_cast<double>((k + 1) * (k + 1))) << k;
    EXPECT_GE(gap, -1e-12 * best) << k;  // the known solution is one
  }
  // Plain descent is promised no more than length L / 2k; this one is far below at the end.
  EXPECT_LT(gap, 1e-3 * length * L / 640);
}

TEST(Fista, EndsInTheSolution) {
  const KnownProblem problem;
  const double relative = problem.lambda / problem.largest_correlation();
  expect_close(fista(problem.phi, problem.y, {relative, 20000}), problem.solution, 1e-6);
}

TEST(Fista, FromLambdaOneOnNothingIsLeft) {
  const KnownProblem problem;
  for (const double v : to_doubles(fista(problem.phi, problem.y, {1.0, 50}))) EXPECT_EQ(v, 0);
  bool any = false;
  for (const double v : to_doubles(fista(problem.phi, problem.y, {0.99, 50}))) any |= v != 0;
  EXPECT_TRUE(any);
}

TEST(Fista, RecoversSparseVectors) {
  const std::int64_t D = 128, K = 72, sparsity = 5;
  const Tensor x = sparse_rows(6, D, sparsity);
  const MeasurementMatrix matrix(Kind::rademacher, K, D, 1, 0, DType::f64);
  // Shrinkage by lambda is left: 1e-4 of the largest correlation, times a condition of some tens.
  expect_close(fista(matrix.dense(), matrix.apply(x), {1e-4, 2000}), to_doubles(x), 1e-3);
}

TEST(Recovery, SameBitsForThreadsAndInstructionSets) {
  const MeasurementMatrix matrix(Kind::gaussian, 30, 61, 1, 0, DType::f64);
  const Tensor phi = matrix.dense(), y = matrix.apply(sparse_rows(9, 61, 4));
  expect_same_bits([&] { return std::vector{omp(phi, y, {6}), fista(phi, y, {0.05, 60})}; });
}

TEST(Recovery, Rejections) {
  const Tensor phi = Tensor::zeros({2, 3}), y = Tensor::zeros({1, 2});
  expect_error([&] { omp(phi, y, {}); }, "omp: sparsity is 0, phi (2,3); expected 1 to 2");
  expect_error([&] { omp(phi, y, {3}); }, "omp: sparsity is 3");
  expect_error(
      [&] {
        omp(phi, Tensor::zeros({1, 3}), {1});
      },
      "omp: y has shape (1,3), phi (2,3); expected floating (N,K)");
  expect_error([&] { omp({}, y, {1}); }, "omp: phi has shape ()");
  expect_error([&] { omp(phi, y, {1, -1.0}); }, "omp: tolerance is -1; expected >= 0");
  expect_error([&] { fista(phi, y, {}); }, "fista: relative_lambda is 0; expected > 0");
  expect_error([&] { fista(phi, y, {0.1, -1}); }, "fista: iterations is -1; expected >= 0");
}

}  // namespace
}  // namespace limbeck::testing
