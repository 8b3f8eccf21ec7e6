// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/softmax.h>

#include <limits>

#include <limbeck/kernels/log_softmax.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
/// Not the one that arithmetic makes: its lowest bit in f32 is set.
constexpr double kNan = __builtin_bit_cast(double, 0x7ff8000020000000);

struct Result {
  std::vector<double> y, dx;
};

// The definition, in long double; dx from probabilities that are not rounded.
Result reference(const std::vector<double>& x, const std::vector<double>& dy, std::int64_t V,
                 double tau) {
  Result r;
  for (std::size_t row = 0; row < x.size(); row += V) {
    const long double max = *std::max_element(&x[row], &x[row] + V);
    std::vector<long double> y;
    long double sum = 0, dot = 0;
    for (std::int64_t v = 0; v < V; ++v) y.push_back(std::exp((x[row + v] - max) / tau));
    for (long double e : y) sum += e;
    for (long double& e : y) e /= sum;
    // Less one dy of the row, which changes nothing: sum y is 1 but for rounding.
    const double center = dy[row + (std::max_element(y.begin(), y.end()) - y.begin())];
    for (std::int64_t v = 0; v < V; ++v) dot += y[v] * (dy[row + v] - center);
    for (std::int64_t v = 0; v < V; ++v) {
      r.y.push_back(static_cast<double>(y[v]));
      r.dx.push_back(static_cast<double>(y[v] * (dy[row + v] - center - dot) / tau));
    }
  }
  return r;
}

class SoftmaxTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, double tau) const {
    Tensor y = make_like(x.shape());
    softmax_forward(y, x, tau);
    return y;
  }
  Tensor backward(const Tensor& dy, const Tensor& y, double tau) const {
    Tensor dx = make_like(y.shape());
    softmax_backward(dx, dy, y, tau);
    return dx;
  }
  void compare(std::int64_t N, std::int64_t V, double scale, double tau) const {
    const Tensor x = make(random_values(N * V, scale, 1), {N, V});
    const Tensor dy = make(random_values(N * V, 1, 2), {N, V});
    const Result expected = reference(to_doubles(x), to_doubles(dy), V, tau);
    const std::string what = x.shape().str() + " tau " + std::to_string(tau);
    const Tensor y = forward(x, tau);
    expect_close(y, expected.y, tolerance(), what + " forward");
    // Of rounded probabilities: the error of the largest, twice.
    expect_close(to_doubles(backward(dy, y, tau)), expected.dx, 2 * tolerance(), what + " backward",
                 2 * rounding_step(dtype()));
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(SoftmaxTest);

TEST_P(SoftmaxTest, HandNumbers) {
  // tau 2: softmax(0, ln 3) = (1/4, 3/4); sum y dy = 1/4 + 9/4; dx = y (dy - 5/2) / 2.
  const Tensor y = forward(make({0, 2 * std::log(3.0)}, {1, 2}), 2);
  expect_close(y, {0.25, 0.75}, tolerance());
  expect_close(backward(make({1, 3}, {1, 2}), y, 2), {-0.1875, 0.1875}, 2 * tolerance());
}

TEST_P(SoftmaxTest, MatchesDefinitionAtEveryWidth) {
  for (std::int64_t V : {1, 2, 10, 32, 33, 128, 129, 256, 257, 1000})
    compare(V < 100 ? 17 : 3, V, 5, 3);
  // Rows that begin at every offset from a multiple of 16 bytes.
  compare(device().is_cuda() ? 9 : 17, 1501, 5, 3);
  // In f16 probabilities of 262144 classes are a few times its smallest number.
  if (!device().is_cuda() && dtype() != DType::f16) compare(1, 262144, 5, 3);
}

TEST_P(SoftmaxTest, MatchesDefinitionAtEveryTemperatureAndSize) {
  for (std::int64_t V : {10, 300})
    for (double tau : {0.5, 1.0, 7.0, 1000.0})
      for (double scale : {0.1, 30.0, 1e4}) compare(V == 10 ? 20 : 3, V, scale, tau);
}

TEST_P(SoftmaxTest, NothingCancelsWhenNearlyOneHot) {
  // y = (1 - p, p), p = 6e-6, and dy all but equal: dx = -+ p (1 - p) / 1024, far below dy's ulp.
  const double e = std::exp(-12.0), p = e / ((1 + e) * (1 + e));
  const Tensor y = forward(make({12, 0}, {1, 2}), 1);
  const Tensor dx = backward(make({1, 1 + 0x1p-7}, {1, 2}), y, 8);
  expect_close(dx, {-p * 0x1p-10, p * 0x1p-10}, 2 * tolerance());
}

TEST_P(SoftmaxTest, RowsSumToOneAndGradientRowsToZero) {
  for (std::int64_t V : {10, 100, 1000}) {
    const Tensor y = forward(make(random_values(5 * V, 8, 1), {5, V}), 2);
    const Tensor dx = backward(make(random_values(5 * V, 1, 2), {5, V}), y, 2);
    const auto p = to_doubles(y), g = to_doubles(dx);
    for (std::int64_t n = 0; n < 5; ++n) {
      double sum = 0, gradient = 0, size = 0;
      for (std::int64_t v = 0; v < V; ++v) {
        sum += p[n * V + v];
        gradient += g[n * V + v];
        size += std::abs(g[n * V + v]);
      }
      EXPECT_NEAR(sum, 1, 2 * tolerance());
      EXPECT_NEAR(gradient, 0, 2 * tolerance() * size);
    }
  }
}

TEST_P(SoftmaxTest, IsTheExponentialOfLogSoftmax) {
  const Tensor x = make(random_values(5 * 100, 5, 1), {5, 100});
  Tensor log_y = make_like(x.shape());
  log_softmax_forward(log_y, x, 3);
  std::vector<double> expected;
  for (double l : to_doubles(log_y)) expected.push_back(std::exp(l));
  // In 16 bits the logarithm is rounded to 2^-9 of up to 7.
  expect_close(forward(x, 3), expected, dtype_size(dtype()) < 4 ? 0.02 : 2 * tolerance());
}

TEST_P(SoftmaxTest, MinusInfinityIsImpossibleAndBadRowsSpoilThemselvesOnly) {
  for (std::int64_t V : {10, 100, 300, 1500}) {
    auto values = random_values(9 * V, 5, 1);
    values[4 * V + V / 2] = kInf;
    values[5 * V + 3] = kNan;
    for (std::int64_t v = 0; v + 1 < V; ++v) values[6 * V + v] = -kInf;
    for (std::int64_t v = 0; v < V; ++v) values[7 * V + v] = -kInf;
    const Tensor x = make(values, {9, V}), y = forward(x, 2);
    Tensor log_y = make_like(x.shape());
    log_softmax_forward(log_y, x, 2);
    const auto p = to_doubles(y), log_p = to_doubles(log_y),
               dx = to_doubles(backward(make(random_values(9 * V), {9, V}), y, 2));
    for (std::int64_t n = 0; n < 9; ++n)
      for (std::int64_t v = 0; v < V; ++v) {
        const bool bad = n == 4 || n == 5 || n == 7;
        ASSERT_EQ(std::isnan(p[n * V + v]), bad) << n << "," << v;
        ASSERT_EQ(std::isnan(log_p[n * V + v]), bad) << n << "," << v;
        ASSERT_EQ(std::isnan(dx[n * V + v]), bad) << n << "," << v;
      }
    for (std::int64_t v = 0; v < V; ++v) {
      EXPECT_EQ(p[6 * V + v], v + 1 == V ? 1 : 0);
      EXPECT_EQ(log_p[6 * V + v], v + 1 == V ? 0 : -kInf);
      EXPECT_EQ(dx[6 * V + v], 0);
    }
  }
}

TEST_P(SoftmaxTest, MayWriteOverItsInput) {
  for (std::int64_t V : {10, 300, 1500}) {
    Tensor x = make(random_values(3 * V, 5, 1), {3, V});
    Tensor dy = make(random_values(3 * V, 1, 2), {3, V});
    const Tensor y = forward(x, 2), dx = backward(dy, y, 2);
    softmax_forward(x, x, 2);
    EXPECT_TRUE(same_bytes(x, y));
    Tensor over_y = y.clone();
    softmax_backward(over_y, dy, over_y, 2);
    EXPECT_TRUE(same_bytes(over_y, dx));
    softmax_backward(dy, dy, y, 2);
    EXPECT_TRUE(same_bytes(dy, dx));
  }
}

TEST_P(SoftmaxTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(forward(make({}, {0, 10}), 1).numel(), 0);
}

TEST(Softmax, BackwardIsTheDerivativeOfForward) {
  // f64, central difference h = 1e-4 of sum dy * y: errors below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 7;
  const double h = 1e-4, tau = 2;
  auto x = random_values(N * V, 3, 1);
  const auto dy = random_values(N * V, 1, 2);
  Tensor y = Tensor::empty({N, V}, DType::f64), dx = Tensor::empty({N, V}, DType::f64);
  const auto value = [&](const std::vector<double>& at) {
    softmax_forward(y, Tensor::from(at, {N, V}), tau);
    const auto p = to_doubles(y);
    double sum = 0;
    for (std::size_t i = 0; i < p.size(); ++i) sum += dy[i] * p[i];
    return sum;
  };
  std::vector<double> numeric;
  for (double& v : x) {
    const double before = v;
    v = before + h;
    const double up = value(x);
    v = before - h;
    numeric.push_back((up - value(x)) / (2 * h));
    v = before;
  }
  value(x);
  softmax_backward(dx, Tensor::from(dy, {N, V}), y, tau);
  expect_close(dx, numeric, 1e-6);
}

TEST(Softmax, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t V : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = V == 10 ? 7000 : 100;
      const Tensor x = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      Tensor y = Tensor::empty({N, V}), dx = Tensor::empty({N, V});
      softmax_forward(y, x, 3);
      softmax_backward(dx, x, y, 3);
      return std::vector{y, dx};
    });
}

TEST(Softmax, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2});
  expect_error([&] { softmax_forward(x, Tensor::zeros({6})); },
               "softmax_forward: x has shape (6); expected (N,V) with V >= 1");
  expect_error(
      [&] {
        softmax_forward(x, Tensor::zeros({2, 3}, DType::u8));
      },
      "softmax_forward: x is u8; expected a floating dtype");
  expect_error([&] { softmax_forward(wrong, x); },
               "softmax_forward: y is f32(3,2) on cpu, x f32(2,3) on cpu; expected equal ones");
  expect_error([&] { softmax_forward(x, x, 0); }, "softmax_forward: tau is 0; expected > 0");
  expect_error([&] { softmax_forward(x, x, kInf); }, "softmax_forward: tau is inf; expected > 0");
  expect_error([&] { softmax_backward(x, wrong, x); }, "softmax_backward: dy is f32(3,2) on cpu");
  expect_error([&] { softmax_backward(wrong, x, x); }, "softmax_backward: dx is f32(3,2)");
  expect_error([&] { softmax_backward(x, x, Tensor::zeros({6})); },
               "softmax_backward: y has shape (6)");
  expect_error([&] { softmax_backward(x, x, x, -2); }, "softmax_backward: tau is -2; expected > 0");
}

}  // namespace
}  // namespace limbeck::testing
