// SPDX-License-Identifier: Apache-2.0
// The matrices of compressed sensing: what they are, and the lengths they keep.
#include <limbeck/distill/measurement_matrix.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Kind = MeasurementKind;
constexpr Kind kKinds[] = {Kind::rademacher, Kind::gaussian, Kind::achlioptas, Kind::count_sketch,
                           Kind::srht};

class MeasurementMatrixTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(MeasurementMatrixTest);

TEST_P(MeasurementMatrixTest, AppliesWhatDenseSays) {
  const std::int64_t N = 5, D = 37, K = 12;
  const Tensor x = make(random_values(N * D), {N, D});
  const std::vector<double> in = to_doubles(x);
  for (const Kind kind : kKinds) {
    const MeasurementMatrix matrix(kind, K, D, 7, 3, dtype(), device());
    const std::vector<double> phi = to_doubles(matrix.dense());
    std::vector<double> expected;
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t k = 0; k < K; ++k) {
        double sum = 0;
        for (std::int64_t d = 0; d < D; ++d)
          sum += phi[static_cast<std::size_t>(k * D + d)] * in[static_cast<std::size_t>(n * D + d)];
        expected.push_back(sum);
      }
    // A sum of 37 products of size 1 is of size 1 here.
    expect_close(matrix.apply(x), expected, 4 * tolerance(), std::string(measurement_name(kind)));
  }
}

TEST(MeasurementMatrix, Elements) {
  const std::int64_t K = 64, D = 50;
  const auto phi = [&](Kind kind, std::uint64_t seed) {
    return to_doubles(MeasurementMatrix(kind, K, D, seed, 0, DType::f64).dense());
  };
  for (const double e : phi(Kind::rademacher, 1)) EXPECT_EQ(std::abs(e), 0.125);
  int zeros = 0;
  for (const double e : phi(Kind::achlioptas, 1)) {
    EXPECT_TRUE(e == 0 || std::abs(e) == std::sqrt(3.0 / 64)) << e;
    zeros += e == 0;
  }
  EXPECT_NEAR(zeros, K * D * 2.0 / 3, 4 * std::sqrt(K * D * 2.0 / 9));
  // Those of random features, which are in turns; the last bit differs.
  const double turn = 6.283185307179586;
  expect_close(phi(Kind::gaussian, 1),
               to_doubles(gaussian_frequencies(1, 0, {K, D}, 8 / turn, DType::f64)), 1e-15);
  for (const Kind kind : kKinds) {
    EXPECT_EQ(phi(kind, 1), phi(kind, 1));
    EXPECT_NE(phi(kind, 1), phi(kind, 2));
  }
}

TEST(MeasurementMatrix, AsManyHadamardRowsAsColumnsLoseNothing) {
  const MeasurementMatrix matrix(Kind::srht, 64, 64, 1, 0, DType::f64);
  const Tensor x = Tensor::from(random_values(64), {1, 64});
  double before = 0, after = 0;
  for (const double v : to_doubles(x)) before += v * v;
  for (const double v : to_doubles(matrix.apply(x))) after += v * v;
  EXPECT_NEAR(after / before, 1, 1e-14);
}

TEST(MeasurementMatrix, TheDefaultDependsOnTheWidth) {
  EXPECT_EQ(default_measurement(4096), Kind::rademacher);
  EXPECT_EQ(default_measurement(4097), Kind::srht);
}

/// Mean and variance of samples, and the standard error of either.
struct Sampled {
  double mean = 0, variance = 0, mean_error = 0, variance_error = 0;
  explicit Sampled(const std::vector<double>& samples) {
    const double n = static_cast<double>(samples.size());
    for (const double s : samples) mean += s / n;
    double fourth = 0;
    for (const double s : samples) {
      variance += std::pow(s - mean, 2) / n;
      fourth += std::pow(s - mean, 4) / n;
    }
    mean_error = std::sqrt(variance / n);
    variance_error = std::sqrt((fourth - variance * variance) / n);
  }
};

/// |Phi x|^2 for `repetitions` matrices of K rows. Rows of the first three kinds are independent,
/// so one tall matrix holds them all.
std::vector<double> squared_lengths(Kind kind, const Tensor& x, std::int64_t K,
                                    std::int64_t repetitions) {
  std::vector<double> lengths;
  const bool independent = kind != Kind::count_sketch && kind != Kind::srht;
  const std::int64_t matrices = independent ? 1 : repetitions;
  const std::int64_t rows = independent ? K * repetitions : K;
  for (std::int64_t m = 0; m < matrices; ++m) {
    const MeasurementMatrix matrix(kind, rows, x.dim(1), 100 + static_cast<std::uint64_t>(m), 0,
                                   DType::f64);
    const std::vector<double> y = to_doubles(matrix.apply(x));
    for (std::int64_t r = 0; r < rows / K; ++r) {
      double sum = 0;
      for (std::int64_t k = 0; k < K; ++k)
        sum += std::pow(y[static_cast<std::size_t>(r * K + k)], 2);
      lengths.push_back(sum * static_cast<double>(rows) / static_cast<double>(K));
    }
  }
  return lengths;
}

TEST(MeasurementMatrix, LengthsHaveTheVarianceOfTheTable) {
  const std::int64_t n = 64, m = 16, repetitions = 4000;
  std::vector<double> values = random_values(n);
  values[5] = 5;  // k4 = 0.33: the formulas differ by that much
  double squares = 0, fourths = 0;
  for (const double v : values) squares += v * v, fourths += v * v * v * v;
  const double k4 = fourths / (squares * squares);
  ASSERT_GT(k4, 0.2);
  const Tensor x = Tensor::from(values, {1, n});
  for (const Kind kind : kKinds) {
    double expected = 2.0 / m;
    if (kind != Kind::gaussian && kind != Kind::achlioptas) expected *= 1 - k4;
    if (kind == Kind::srht) expected *= static_cast<double>(n - m) / (n - 1);
    std::vector<double> lengths = squared_lengths(kind, x, m, repetitions);
    for (double& length : lengths) length /= squares;
    const Sampled sampled(lengths);
    EXPECT_NEAR(sampled.mean, 1, 4 * sampled.mean_error) << measurement_name(kind);
    EXPECT_NEAR(sampled.variance, expected, 4 * sampled.variance_error) << measurement_name(kind);
    // What tells the rows of the table apart: four errors are less than the factors 1 - k4 and
    // (n-m)/(n-1) take away.
    EXPECT_LT(4 * sampled.variance_error, 0.2 * expected) << measurement_name(kind);
  }
}

TEST(MeasurementMatrix, Gradient) {  // linear: only rounding
  const Tensor x = Tensor::from(random_values(3 * 9), {3, 9});
  for (const Kind kind : kKinds) {
    const MeasurementMatrix matrix(kind, 4, 9, 1, 0, DType::f64);
    const GradCheckResult result =
        grad_check([&](std::span<const Variable> v) { return matrix.apply(v[0]); }, {x});
    EXPECT_LT(result.error, 1e-9) << measurement_name(kind) << " " << result.where;
  }
}

TEST(MeasurementMatrix, SameBitsForThreadsAndInstructionSets) {
  const Tensor x = Tensor::from(random_values(40 * 130), {40, 130}).to(DType::f32);
  expect_same_bits([&] {
    std::vector<Tensor> results;
    for (const Kind kind : kKinds) {
      const MeasurementMatrix matrix(kind, 60, 130, 1);
      results.push_back(matrix.apply(x));
      results.push_back(matrix.dense());
    }
    return results;
  });
}

TEST(MeasurementMatrix, SameBitsOnAGpu) {
#if LIMBECK_HAS_GPU
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  const Tensor x = Tensor::from(random_values(5 * 70), {5, 70}).to(DType::f32);
  for (const Kind kind : {Kind::rademacher, Kind::count_sketch, Kind::srht}) {
    const MeasurementMatrix here(kind, 33, 70, 1);
    const MeasurementMatrix there(kind, 33, 70, 1, 0, DType::f32, Device::cuda());
    EXPECT_TRUE(same_bytes(here.apply(x), there.apply(x.to(Device::cuda()))))
        << measurement_name(kind);
    EXPECT_TRUE(same_bytes(here.dense(), there.dense())) << measurement_name(kind);
  }
  for (const Kind kind : {Kind::gaussian, Kind::achlioptas})  // the elements are the same
    EXPECT_TRUE(
        same_bytes(MeasurementMatrix(kind, 33, 70, 1).dense(),
                   MeasurementMatrix(kind, 33, 70, 1, 0, DType::f32, Device::cuda()).dense()));
#endif
}

TEST(MeasurementMatrix, Rejections) {
  expect_error([] { MeasurementMatrix(Kind::gaussian, 0, 3, 1); },
               "measurement: matrix has shape (0,3); expected at least one row and column");
  const MeasurementMatrix matrix(Kind::gaussian, 2, 3, 1);
  expect_error(
      [&] {
        matrix.apply(Tensor::zeros({2, 4}));
      },
      "measurement: x has shape (2,4); expected (N,3)");
  expect_error([] { MeasurementMatrix(Kind::srht, 5, 3, 1); }, "srht");
}

}  // namespace
}  // namespace limbeck::testing
