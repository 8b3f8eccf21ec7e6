// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/cross_entropy.h>

#include <cmath>
#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  std::vector<double> loss, grad;
};

// From the definition: -log of the normalised exponential, one row after the other.
Result reference(const std::vector<double>& z, const std::vector<std::int32_t>& labels,
                 std::int64_t V, double mean_over, double smoothing = 0) {
  Result r;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const double* row = &z[n * V];
    const double max = *std::max_element(row, row + V);
    double sum = 0;
    for (std::int64_t v = 0; v < V; ++v) sum += std::exp(row[v] - max);
    const bool ignored = labels[n] == kIgnoreIndex;
    double loss = 0;
    for (std::int64_t v = 0; v < V; ++v) {
      const double q = (1 - smoothing) * (v == labels[n]) + smoothing / V;
      if (q > 0) loss += q * (std::log(sum) + max - row[v]);
      r.grad.push_back(ignored ? 0 : (std::exp(row[v] - max) / sum - q) / mean_over);
    }
    r.loss.push_back(ignored ? 0 : loss);
  }
  return r;
}

std::vector<std::int32_t> some_labels(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n) labels.push_back(static_cast<std::int32_t>(n * 7 % V));
  return labels;
}

class CrossEntropyTest : public DeviceTest {
 protected:
  Result run(const Tensor& logits, const std::vector<std::int32_t>& labels, double mean_over = 0,
             double smoothing = 0) const {
    const DType loss_dtype = dtype() == DType::f64 ? DType::f64 : DType::f32;
    Tensor loss = Tensor::full({logits.dim(0)}, 777, loss_dtype, device());
    Tensor grad = make_like(logits.shape());
    cross_entropy_forward_with_grad(
        loss, grad, logits, Tensor::from(labels, loss.shape(), device()), {mean_over, smoothing});
    return {to_doubles(loss), to_doubles(grad)};
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(CrossEntropyTest);

TEST_P(CrossEntropyTest, HandNumbers) {
  // softmax(0, ln 3) = (1/4, 3/4). Row 0, label 1: -ln 3/4, (1/4, -1/4) / 2. Row 1, label 0:
  // -ln 1/4, (-3/4, 3/4) / 2.
  const double ln3 = std::log(3.0);
  const Result r = run(make({0, ln3, 0, ln3}, {2, 2}), {1, 0});
  expect_close(r.loss, {std::log(4.0 / 3), std::log(4.0)}, tolerance());
  expect_close(r.grad, {0.125, -0.125, -0.375, 0.375}, tolerance());
}

TEST_P(CrossEntropyTest, MatchesDefinitionAtEveryWidth) {
  for (std::int64_t V : {1, 2, 10, 31, 32, 33, 64, 65, 1000, 33000})
    for (std::int64_t N : {1, 3, 16, 17, 33}) {
      const Tensor z = make(random_values(N * V, 10, 1), {N, V});
      const auto labels = some_labels(N, V);
      const Result expected = reference(to_doubles(z), labels, V, static_cast<double>(N));
      const Result r = run(z, labels);
      expect_close(r.loss, expected.loss, tolerance(), z.shape().str() + " loss");
      expect_close(r.grad, expected.grad, tolerance(), z.shape().str() + " gradient");
    }
}

TEST_P(CrossEntropyTest, LargeLogitsStayFinite) {
  const Tensor z = make(random_values(40 * 10, 1e4, 1), {40, 10});
  const auto labels = some_labels(40, 10);
  const Result expected = reference(to_doubles(z), labels, 10, 40);
  const Result r = run(z, labels);
  expect_close(r.loss, expected.loss, tolerance());
  expect_close(r.grad, expected.grad, tolerance());
}

TEST_P(CrossEntropyTest, GradientRowsSumToZero) {
  const std::int64_t N = 20, V = 100;
  const Result r = run(make(random_values(N * V, 5, 1), {N, V}), some_labels(N, V));
  for (std::int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (std::int64_t v = 0; v < V; ++v) sum += r.grad[n * V + v];
    EXPECT_NEAR(sum, 0, V * tolerance() / N);  // the label's gradient is close to 1/N
  }
}

TEST_P(CrossEntropyTest, IgnoredRowsAreZeroAndDoNotCount) {
  for (std::int64_t V : {10, 100}) {
    const Tensor z = make(random_values(20 * V, 5, 1), {20, V});
    auto labels = some_labels(20, V);
    labels[4] = labels[19] = kIgnoreIndex;
    const Result expected = reference(to_doubles(z), labels, V, 18);
    const Result r = run(z, labels);
    expect_close(r.grad, expected.grad, tolerance());
    for (std::int64_t n : {4, 19}) {
      EXPECT_EQ(r.loss[n], 0);
      for (std::int64_t v = 0; v < V; ++v) EXPECT_EQ(r.grad[n * V + v], 0);
    }
    for (double g : run(z, std::vector<std::int32_t>(20, kIgnoreIndex)).grad) EXPECT_EQ(g, 0);
  }
}

// softmax(0, ln 3) = (1/4, 3/4), half smoothed: q = (1/4, 3/4), so the gradient vanishes and the
// loss is q's entropy.
TEST_P(CrossEntropyTest, SmoothedHandNumbers) {
  const Result r = run(make({0, std::log(3.0)}, {1, 2}), {1}, 0, 0.5);
  expect_close(r.loss, {0.25 * std::log(4.0) + 0.75 * std::log(4.0 / 3)}, tolerance());
  for (double g : r.grad) EXPECT_NEAR(g, 0, tolerance());
}

TEST_P(CrossEntropyTest, SmoothedMatchesDefinitionWithIgnoredRows) {
  for (std::int64_t V : {1, 2, 31, 33, 128, 129, 1000, 5000}) {
    const std::int64_t N = 19;
    const Tensor z = make(random_values(N * V, 5, 1), {N, V});
    auto labels = some_labels(N, V);
    labels[3] = kIgnoreIndex;
    const Result expected = reference(to_doubles(z), labels, V, N - 1, 0.1);
    const Result r = run(z, labels, 0, 0.1);
    expect_close(r.loss, expected.loss, tolerance(), z.shape().str() + " loss");
    expect_close(r.grad, expected.grad, tolerance(), z.shape().str() + " gradient");
    for (std::int64_t v = 0; v < V; ++v) EXPECT_EQ(r.grad[3 * V + v], 0);
  }
}

TEST_P(CrossEntropyTest, PartsOfABatchGiveTheSameBytes) {
  const Tensor z = make(random_values(20 * 10, 5, 1), {20, 10});
  const auto labels = some_labels(20, 10);
  const Result whole = run(z, labels);
  const Result part = run(z.rows(5, 20), {labels.begin() + 5, labels.end()}, 20);
  EXPECT_TRUE(std::equal(part.loss.begin(), part.loss.end(), whole.loss.begin() + 5));
  EXPECT_TRUE(std::equal(part.grad.begin(), part.grad.end(), whole.grad.begin() + 50));
}

TEST_P(CrossEntropyTest, NanSpoilsItsRowOnlyAndMinusInfinityMasks) {
  for (std::int64_t V : {10, 100}) {
    auto values = random_values(20 * V, 5, 1);
    const auto labels = some_labels(20, V);
    values[5 * V + 3] = std::numeric_limits<double>::quiet_NaN();
    values[6 * V + 3] = -std::numeric_limits<double>::infinity();
    const Result r = run(make(values, {20, V}), labels);
    for (std::int64_t n = 0; n < 20; ++n) {
      EXPECT_EQ(std::isnan(r.loss[n]), n == 5) << n;
      EXPECT_EQ(std::isnan(r.grad[n * V]), n == 5) << n;
    }
    EXPECT_EQ(r.grad[6 * V + 3], 0);
  }
}

TEST_P(CrossEntropyTest, GradientMayOverwriteTheLogitsOrBeLeftOut) {
  Tensor z = make(random_values(20 * 10, 5, 1), {20, 10}), none;
  const auto labels = some_labels(20, 10);
  const Result r = run(z, labels);
  Tensor loss = Tensor::empty({20}, dtype() == DType::f64 ? DType::f64 : DType::f32, device());
  const Tensor label = Tensor::from(labels, {20}, device());
  cross_entropy_forward_with_grad(loss, none, z, label, {});
  EXPECT_EQ(to_doubles(loss), r.loss);
  cross_entropy_forward_with_grad(loss, z, z, label, {});
  EXPECT_EQ(to_doubles(z), r.grad);
}

TEST_P(CrossEntropyTest, NoRows) {
  expect_no_launch();
  EXPECT_TRUE(run(make({}, {0, 10}), {}).loss.empty());
}

TEST(CrossEntropy, GradientIsTheDerivativeOfTheLoss) {
  // f64, central difference h = 1e-4: error h^2 and 1e-16/h, both below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 7;
  const double h = 1e-4;
  auto z = random_values(N * V, 3, 1);
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{2, kIgnoreIndex, 6}, {N});
  Tensor loss = Tensor::empty({N}, DType::f64), grad = Tensor::empty({N, V}, DType::f64), none;
  const auto mean = [&](const std::vector<double>& values) {
    cross_entropy_forward_with_grad(loss, none, Tensor::from(values, {N, V}), labels, {});
    const auto rows = to_doubles(loss);
    return (rows[0] + rows[1] + rows[2]) / 2;
  };
  cross_entropy_forward_with_grad(loss, grad, Tensor::from(z, {N, V}), labels, {});
  std::vector<double> numeric;
  for (double& x : z) {
    const double before = x;
    x = before + h;
    const double up = mean(z);
    x = before - h;
    numeric.push_back((up - mean(z)) / (2 * h));
    x = before;
  }
  expect_close(grad, numeric, 1e-6);
}

TEST(CrossEntropy, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t V : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = V == 10 ? 7000 : 100;
      const Tensor z = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      Tensor loss = Tensor::empty({N}), grad = Tensor::empty({N, V});
      cross_entropy_forward_with_grad(loss, grad, z, Tensor::from(some_labels(N, V), {N}), {});
      Tensor smooth = Tensor::empty({N}), smooth_grad = Tensor::empty({N, V});
      cross_entropy_forward_with_grad(smooth, smooth_grad, z, Tensor::from(some_labels(N, V), {N}),
                                      {.label_smoothing = 0.1});
      return std::vector{loss, grad, smooth, smooth_grad};
    });
}

TEST(CrossEntropy, Rejections) {
  Tensor loss = Tensor::zeros({2}), grad = Tensor::zeros({2, 3}), z = Tensor::zeros({2, 3});
  Tensor labels = Tensor::zeros({2}, DType::i32);
  const auto call = [&](const Tensor& logits, const Tensor& label, double mean_over = 0) {
    return [&, logits, label, mean_over] {
      cross_entropy_forward_with_grad(loss, grad, logits, label, {mean_over});
    };
  };
  expect_error(call(z, labels, -1), "cross_entropy: mean_over is -1; expected >= 0");
  expect_error(
      [&] {
        cross_entropy_forward_with_grad(loss, grad, z, labels, {0, 1});
      },
      "cross_entropy: label_smoothing is 1; expected 0 <= label_smoothing < 1");
  expect_error(call(Tensor::zeros({6}), labels), "cross_entropy: logits has shape (6)");
  expect_error(call(Tensor::zeros({2, 0}), labels), "expected (N,V) with V >= 1");
  expect_error(call(Tensor::zeros({2, 3}, DType::i32), labels), "cross_entropy: logits is i32");
  expect_error(call(z, Tensor()), "cross_entropy: labels is undefined");
  expect_error(call(z, Tensor::zeros({2}, DType::i64)),
               "cross_entropy: labels is i64(2); expected i32(2)");
  expect_error(call(z, Tensor::full({2}, -1, DType::i32)),
               "cross_entropy: label 0 is -1; expected 0 to 2 or -100");
  expect_error(call(Tensor::zeros({2, 3}, DType::f64), labels),
               "cross_entropy: row_loss is f32(2) on cpu; expected f64(2)");
  expect_error(call(Tensor::zeros({2, 4}), labels), "cross_entropy: dlogits is f32(2,3)");
}

}  // namespace
}  // namespace limbeck::testing
