// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/log_softmax.h>

#include <cmath>
#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

std::vector<double> reference(const std::vector<double>& x, std::int64_t V, long double tau = 1) {
  std::vector<double> y;
  for (std::size_t row = 0; row < x.size(); row += V) {
    const long double max = *std::max_element(&x[row], &x[row] + V);
    long double sum = 0;
    for (std::int64_t v = 0; v < V; ++v) sum += std::exp((x[row + v] - max) / tau);
    for (std::int64_t v = 0; v < V; ++v)
      y.push_back(static_cast<double>((x[row + v] - max) / tau - std::log(sum)));
  }
  return y;
}

class LogSoftmaxTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, double tau = 1) const {
    Tensor y = make_like(x.shape());
    log_softmax_forward(y, x, tau);
    return y;
  }
  Tensor backward(const Tensor& dy, const Tensor& y, double tau = 1) const {
    Tensor dx = make_like(y.shape());
    log_softmax_backward(dx, dy, y, tau);
    return dx;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(LogSoftmaxTest);

TEST_P(LogSoftmaxTest, HandNumbers) {
  // softmax(0, ln 3) = (1/4, 3/4); dx = dy - softmax * (1 + 3) = (1 - 1, 3 - 3).
  const Tensor y = forward(make({0, std::log(3.0)}, {1, 2}));
  expect_close(y, {std::log(0.25), std::log(0.75)}, tolerance());
  // Absolute: what is left of dy after two roundings of numbers up to 3.
  for (double dx : to_doubles(backward(make({1, 3}, {1, 2}), y)))
    EXPECT_NEAR(dx, 0, 3 * tolerance());
}

TEST_P(LogSoftmaxTest, MatchesDefinitionAtEveryWidth) {
  // Rows of 33001 begin at every offset from a multiple of 16 bytes.
  for (std::int64_t V : {1, 2, 10, 31, 32, 33, 64, 65, 1000, 33001})
    for (std::int64_t N : {1, 3, 16, 17, 33}) {
      const Tensor x = make(random_values(N * V, 10, 1), {N, V});
      const Tensor dy = make(random_values(N * V, 1, 2), {N, V});
      const Tensor y = forward(x);
      expect_close(y, reference(to_doubles(x), V), tolerance(), x.shape().str() + " forward");
      const auto dyv = to_doubles(dy), yv = to_doubles(y);
      std::vector<double> expected;
      for (std::int64_t row = 0; row < N * V; row += V) {
        double sum = 0;
        for (std::int64_t v = 0; v < V; ++v) sum += dyv[row + v];
        for (std::int64_t v = 0; v < V; ++v)
          expected.push_back(dyv[row + v] - std::exp(yv[row + v]) * sum);
      }
      expect_close(backward(dy, y), expected, tolerance(), x.shape().str() + " backward");
    }
}

TEST_P(LogSoftmaxTest, MatchesDefinitionAtEveryTemperatureAndSize) {
  for (std::int64_t V : {10, 200})
    for (double tau : {0.5, 7.0, 1000.0})
      for (double scale : {0.1, 30.0, 1e4}) {
        const Tensor x = make(random_values(3 * V, scale, 1), {3, V});
        const Tensor y = forward(x, tau);
        expect_close(y, reference(to_doubles(x), V, tau), tolerance(),
                     "tau " + std::to_string(tau));
        // The backward divides that of tau 1.
        const Tensor dy = make(random_values(3 * V, 1, 2), {3, V});
        std::vector<double> expected = to_doubles(backward(dy, y));
        for (double& dx : expected) dx /= tau;
        expect_close(backward(dy, y, tau), expected, tolerance());
      }
}

TEST_P(LogSoftmaxTest, ShiftInvariantAndFiniteForLargeLogits) {
  // Multiples of 32 near 8192 are exact in every dtype.
  std::vector<double> x, shifted;
  for (double v : random_values(20 * 10, 6, 1)) x.push_back(32 * std::round(v));
  for (double v : x) shifted.push_back(v + 8192 - 192);
  const Tensor y = forward(make(x, {20, 10}));
  EXPECT_TRUE(same_bytes(y, forward(make(shifted, {20, 10}))));
  const Tensor large = make(random_values(20 * 10, 1e4, 1), {20, 10});
  expect_close(forward(large), reference(to_doubles(large), 10), tolerance());
}

TEST_P(LogSoftmaxTest, MinusInfinityMasksAndNanSpoilsItsRowOnly) {
  for (std::int64_t V : {10, 100}) {
    auto values = random_values(20 * V, 5, 1);
    values[5 * V + 3] = std::numeric_limits<double>::quiet_NaN();
    values[6 * V + 3] = -std::numeric_limits<double>::infinity();
    const auto y = to_doubles(forward(make(values, {20, V})));
    for (std::int64_t n = 0; n < 20; ++n)
      for (std::int64_t v = 0; v < V; ++v) ASSERT_EQ(std::isnan(y[n * V + v]), n == 5);
    EXPECT_EQ(y[6 * V + 3], -std::numeric_limits<double>::infinity());
  }
}

TEST_P(LogSoftmaxTest, MayWriteOverItsInput) {
  Tensor x = make(random_values(20 * 10, 5, 1), {20, 10});
  Tensor dy = make(random_values(20 * 10, 1, 2), {20, 10});
  const Tensor y = forward(x), dx = backward(dy, y);
  log_softmax_forward(x, x);
  log_softmax_backward(dy, dy, y);
  EXPECT_TRUE(same_bytes(x, y));
  EXPECT_TRUE(same_bytes(dy, dx));
}

TEST_P(LogSoftmaxTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(forward(make({}, {0, 10})).numel(), 0);
}

TEST(LogSoftmax, BackwardIsTheDerivativeOfForward) {
  // f64, central difference h = 1e-4 of sum dy * y: errors below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 7;
  const double h = 1e-4, tau = 2;
  auto x = random_values(N * V, 3, 1);
  const auto dy = random_values(N * V, 1, 2);
  const auto value = [&](const std::vector<double>& at) {
    Tensor y = Tensor::empty({N, V}, DType::f64);
    log_softmax_forward(y, Tensor::from(at, {N, V}), tau);
    const auto yv = to_doubles(y);
    double sum = 0;
    for (std::size_t i = 0; i < yv.size(); ++i) sum += dy[i] * yv[i];
    return sum;
  };
  Tensor y = Tensor::empty({N, V}, DType::f64), dx = Tensor::empty({N, V}, DType::f64);
  log_softmax_forward(y, Tensor::from(x, {N, V}), tau);
  log_softmax_backward(dx, Tensor::from(dy, {N, V}), y, tau);
  std::vector<double> numeric;
  for (double& v : x) {
    const double before = v;
    v = before + h;
    const double up = value(x);
    v = before - h;
    numeric.push_back((up - value(x)) / (2 * h));
    v = before;
  }
  expect_close(dx, numeric, 1e-6);
}

TEST(LogSoftmax, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t V : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = V == 10 ? 7000 : 100;
      const Tensor x = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      Tensor y = Tensor::empty({N, V}), dx = Tensor::empty({N, V});
      log_softmax_forward(y, x);
      log_softmax_backward(dx, x, y);
      return std::vector{y, dx};
    });
}

TEST(LogSoftmax, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2});
  expect_error([&] { log_softmax_forward(x, Tensor::zeros({6})); },
               "log_softmax_forward: x has shape (6); expected (N,V) with V >= 1");
  expect_error(
      [&] {
        log_softmax_forward(x, Tensor::zeros({2, 3}, DType::u8));
      },
      "log_softmax_forward: x is u8; expected a floating dtype");
  expect_error([&] { log_softmax_forward(wrong, x); },
               "log_softmax_forward: y is f32(3,2) on cpu, x f32(2,3) on cpu");
  expect_error([&] { log_softmax_backward(x, wrong, x); },
               "log_softmax_backward: dy is f32(3,2) on cpu, y f32(2,3) on cpu");
  expect_error([&] { log_softmax_backward(wrong, x, x); }, "log_softmax_backward: dx is f32(3,2)");
  expect_error([&] { log_softmax_backward(x, x, Tensor::zeros({6})); },
               "log_softmax_backward: y has shape (6)");
  expect_error([&] { log_softmax_forward(x, x, 0); }, "log_softmax_forward: tau is 0");
  expect_error([&] { log_softmax_backward(x, x, x, -1); }, "log_softmax_backward: tau is -1");
}

}  // namespace
}  // namespace limbeck::testing
