// SPDX-License-Identifier: Apache-2.0
// Tests of a student that comes to trust itself.
#include <limbeck/distill/confidence.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

// 10 steps, ramp 40 %: 0, 1/4, 1/2, 3/4 of alpha, then all of it.
TEST(Confidence, AlphaRisesLinearlyAndStays) {
  const ConfidenceOptions options = {.alpha = 0.5, .ramp = 0.4};
  const std::vector<double> expected = {0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_DOUBLE_EQ(confidence_alpha(options, static_cast<std::int64_t>(i), 10), expected[i]);
}

// One that is multiplied with the share of the run instead goes from 0.05 to 0.5 in one step.
TEST(Confidence, AlphaDoesNotJumpWhereTheRampEnds) {
  const ConfidenceOptions options = {.alpha = 0.5, .ramp = 0.1};
  for (std::int64_t step = 1; step < 1000; ++step)
    EXPECT_LE(confidence_alpha(options, step, 1000) - confidence_alpha(options, step - 1, 1000),
              0.5 / 100 + 1e-12);
  EXPECT_EQ(confidence_alpha(options, 100, 1000), 0.5);
}

class ConfidenceTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ConfidenceTest);

// A student for whom everything is class 0; to the weak model the classes are equally frequent.
TEST_P(ConfidenceTest, LabelsHaveTheWeakModelsBalance) {
  const std::int64_t N = 30, V = 3;
  std::vector<double> z = random_values(N * V, 2, 1), w = random_values(N * V, 2, 2);
  for (std::int64_t n = 0; n < N; ++n) {
    z[static_cast<std::size_t>(n * V)] += 5;
    w[static_cast<std::size_t>(n * V + n % V)] += 9;
  }
  const std::vector<std::int32_t> labels =
      confidence_labels(make(z, {N, V}), make(w, {N, V})).to_vector<std::int32_t>();
  for (std::int32_t v = 0; v < V; ++v)
    EXPECT_NEAR(static_cast<double>(std::count(labels.begin(), labels.end(), v)), 10, 3) << v;
}

// Both models give each row (3/4, 1/4): KL = 0, and what is left is alpha (-log 3/4).
TEST_P(ConfidenceTest, HandNumbers) {
  const double log3 = std::log(3.0);
  const Tensor z = make({log3, 0, log3, 0}, {2, 2});
  const Variable student(z, true);
  const Variable loss = confidence_loss(student, z, 0.25);
  EXPECT_NEAR(loss.value().item(), -0.25 * std::log(0.75), tolerance());
  loss.backward();  // alpha (p - onehot) / N
  expect_close(student.grad(), {-0.03125, 0.03125, -0.03125, 0.03125}, 2 * tolerance());
}

TEST_P(ConfidenceTest, AlphaGoesFromTheWeakModelToTheStudentItself) {
  const Tensor z = make(random_values(12, 2, 3), {4, 3}), w = make(random_values(12, 2, 4), {4, 3});
  const Variable student(z);
  const double imitate =
      kd_loss(student, w, {}, {.tau = 1, .kd_weight = 1, .ce_weight = 0}).value().item();
  const KdLossOptions hard = {.tau = 1, .kd_weight = 0, .ce_weight = 1};
  const double trust = kd_loss(student, w, confidence_labels(z, w), hard).value().item();
  EXPECT_NEAR(confidence_loss(student, w, 0).value().item(), imitate, 1e-6);
  EXPECT_NEAR(confidence_loss(student, w, 1).value().item(), trust, 1e-6);
  EXPECT_NEAR(confidence_loss(student, w, 0.25).value().item(), 0.75 * imitate + 0.25 * trust,
              1e-6);
}

// Of rows (3/4, 1/4) and (1/10, 9/10) only the second has a label, yet both learn from the weak
// model: (1-alpha) (KL1 + KL2) / 2 + alpha (-log 9/10) / 2.
TEST_P(ConfidenceTest, UnsureRowsStillLearnFromTheWeakModel) {
  const Tensor z = make({std::log(3.0), 0, 0, std::log(9.0)}, {2, 2});
  const ConfidenceOptions options = {.threshold = 0.8};
  EXPECT_EQ(confidence_labels(z, z, options).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{-100, 1}));
  const Variable student(z, true);
  const Variable loss = confidence_loss(student, z, 0.5, options);
  EXPECT_NEAR(loss.value().item(), -0.25 * std::log(0.9), tolerance());
  loss.backward();
  const std::vector<double> g = to_doubles(student.grad());
  expect_close(g, {0, 0, 0.025, -0.025}, 4 * tolerance());
}

// The batch in another order has the same labels, in that order.
TEST_P(ConfidenceTest, TheOrderOfTheBatchDoesNotMatter) {
  const std::vector<double> z = random_values(24, 3, 5), w = random_values(24, 3, 6);
  const auto turned = [](const std::vector<double>& v) {  // the last 3 rows come first
    std::vector<double> t(v.begin() + 15, v.end());
    t.insert(t.end(), v.begin(), v.begin() + 15);
    return t;
  };
  const auto a = confidence_labels(make(z, {8, 3}), make(w, {8, 3})).to_vector<std::int32_t>();
  auto b =
      confidence_labels(make(turned(z), {8, 3}), make(turned(w), {8, 3})).to_vector<std::int32_t>();
  std::rotate(b.begin(), b.begin() + 3, b.end());
  EXPECT_EQ(a, b);
}

// The labels are constants: near a point where they do not change, the gradient is that of the two
// terms alone.
TEST(Confidence, GradientCheck) {
  const Tensor w = Tensor::from(random_values(15, 2, 7), {5, 3});
  for (const double threshold : {0.0, 0.5}) {
    const auto loss = [&](std::span<const Variable> in) {
      return confidence_loss(in[0], w, 0.4, {.threshold = threshold, .mean_over = 7});
    };
    const GradCheckResult check = grad_check(loss, {Tensor::from(random_values(15, 2, 8), {5, 3})});
    EXPECT_LT(check.error, 1e-6) << check.where;
  }
}

TEST(Confidence, Rejections) {
  expect_error([] { confidence_alpha({.alpha = 2}, 0, 1); }, "confidence: alpha is 2; expected 0");
  expect_error([] { confidence_alpha({.ramp = -1}, 0, 1); }, "ramp is -1");
  const Variable z(Tensor::zeros({2, 3}));
  expect_error([&] { confidence_loss(z, z.value(), -0.5); }, "confidence: alpha is -0.5");
  expect_error(
      [&] {
        confidence_loss(z, Tensor::zeros({2, 4}), 0.5);
      },
      "balanced_labels: weak is f32(2,4)");
  expect_error([] { confidence_labels(Tensor(), Tensor()); }, "student has shape ()");
}

}  // namespace
}  // namespace limbeck::testing
