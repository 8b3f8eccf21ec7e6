// SPDX-License-Identifier: Apache-2.0
// Tests of the measures of a model and of a student's likeness to its teacher.
#include <limbeck/distill/metrics.h>

#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

const double kLog2 = std::log(2.0), kLog3 = std::log(3.0);

Tensor logits(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}
Tensor labels(const std::vector<std::int32_t>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}

TEST(Metrics, HandNumbers) {
  // p = (3/4, 1/4), (1/4, 3/4), (1/2, 1/2); labels 0, 0, 0: right, wrong, right (a tie is class 0).
  const Metrics m = measure(logits({kLog3, 0, 0, kLog3, 5, 5}, {3, 2}), labels({0, 0, 0}));
  EXPECT_EQ(m.samples, 3);
  EXPECT_EQ(m.errors, 1);
  EXPECT_NEAR(m.accuracy, 2.0 / 3, 1e-15);
  // -log 3/4 - log 1/4 - log 1/2 = 5 log 2 - log 3
  EXPECT_NEAR(m.nll, (5 * kLog2 - kLog3) / 3, 1e-15);
  // Bin of 3/4: two samples, one right: |1 - 3/2|. Bin of 1/2: |1 - 1/2|. Together 1, over 3.
  EXPECT_NEAR(m.ece, 1.0 / 3, 1e-15);
}

TEST(Metrics, CalibrationHandNumbers) {
  // As above. Brier: (1/4)^2 2, (3/4)^2 2, (1/2)^2 2: together 7/4.
  MetricsMeter meter;
  meter.add(logits({kLog3, 0, 0, kLog3, 5, 5}, {3, 2}), labels({0, 0, 0}));
  const Calibration c = meter.calibration();
  EXPECT_NEAR(c.brier, 1.75 / 3, 1e-15);
  for (std::size_t b = 0; b < c.bins.size(); ++b)  // (11/15, 12/15] holds 3/4, (7/15, 8/15] 1/2
    EXPECT_EQ(c.bins[b].samples, b == 11 ? 2 : b == 7 ? 1 : 0) << b;
  EXPECT_NEAR(c.bins[11].confidence, 0.75, 1e-15);
  EXPECT_EQ(c.bins[11].accuracy, 0.5);
  EXPECT_EQ(c.bins[7].accuracy, 1);
  EXPECT_EQ(c.bins[0].confidence, 0);
}

// Sure and right: 0. Sure and wrong: 2. All classes alike: 1 - 1/V.
TEST(Metrics, BrierHasItsEnds) {
  const auto brier = [](const Tensor& z, const Tensor& y) {
    MetricsMeter meter;
    meter.add(z, y);
    return meter.calibration().brier;
  };
  EXPECT_EQ(brier(logits({1e4, 0, 0}, {1, 3}), labels({0})), 0);
  EXPECT_EQ(brier(logits({1e4, 0, 0}, {1, 3}), labels({2})), 2);
  EXPECT_NEAR(brier(logits({7, 7, 7, 7}, {1, 4}), labels({2})), 0.75, 1e-15);
}

// ECE is what the diagram shows.
TEST(Metrics, EceIsTheMeanGapOfTheBins) {
  MetricsMeter meter;
  const std::vector<double> z = random_values(60 * 4, 3);
  std::vector<std::int32_t> y;
  for (int i = 0; i < 60; ++i) y.push_back(i % 4);
  meter.add(logits(z, {60, 4}), labels(y));
  double gap = 0;
  for (const ReliabilityBin& bin : meter.calibration().bins)
    gap += static_cast<double>(bin.samples) / 60 * std::abs(bin.accuracy - bin.confidence);
  EXPECT_NEAR(gap, meter.result().ece, 1e-14);
}

TEST(Metrics, BinsAreClosedAbove) {
  // Confidence 2/3 = 10/15 ends bin 10; 0.68 lies in bin 11. Right and wrong: were they in one bin,
  // ECE would be |1 - 1.3467| / 2.
  const auto logit = [](double p) { return std::log(p / (1 - p)); };
  const Metrics m =
      measure(logits({logit(2.0 / 3 - 1e-12), 0, logit(0.68), 0}, {2, 2}), labels({0, 1}));
  EXPECT_NEAR(m.ece, (1.0 / 3 + 0.68) / 2, 1e-9);
}

TEST(Metrics, ACertainModelThatIsRight) {
  const Metrics m = measure(logits({1e4, -1e4, -1e4, 1e4}, {2, 2}), labels({0, 1}));
  EXPECT_EQ(m.errors, 0);
  EXPECT_EQ(m.nll, 0);
  EXPECT_EQ(m.ece, 0);
}

TEST(Metrics, NanIsAnErrorAndShows) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Metrics m = measure(logits({nan, 0, 1, 0}, {2, 2}), labels({0, 0}));
  EXPECT_EQ(m.errors, 1);
  EXPECT_TRUE(std::isnan(m.nll));
  EXPECT_TRUE(std::isnan(m.ece));
  const Tensor bad = logits({nan, 0}, {1, 2}), good = logits({1, 0}, {1, 2});
  const Fidelity f = measure_fidelity(bad, good, labels({0}));
  EXPECT_EQ(f.agreement, 0);
  EXPECT_TRUE(std::isnan(f.forward_kl));
  EXPECT_TRUE(std::isnan(f.reverse_kl));
}

TEST(Fidelity, HandNumbers) {
  // student (3/4, 1/4), (1/4, 3/4); teacher (1/2, 1/2), (1/4, 3/4); labels 1, 1.
  const Tensor student = logits({kLog3, 0, 0, kLog3}, {2, 2});
  const Tensor teacher = logits({2, 2, 0, kLog3}, {2, 2});
  const Fidelity f = measure_fidelity(student, teacher, labels({1, 1}));
  EXPECT_EQ(f.agreement, 1);
  EXPECT_NEAR(f.baseline, 0.25, 1e-15);  // both right once in two: 1/2 * 1/2
  // KL(t||s) of row 0: 1/2 log(2/3) + 1/2 log 2 = log 2 - log(3)/2; row 1 has none.
  EXPECT_NEAR(f.forward_kl, (kLog2 - kLog3 / 2) / 2, 1e-15);
  // KL(s||t): 3/4 log(3/2) + 1/4 log(1/2) = 3/4 log 3 - log 2.
  EXPECT_NEAR(f.reverse_kl, (0.75 * kLog3 - kLog2) / 2, 1e-15);
}

TEST(Fidelity, AModelAgreesWithItself) {
  const Tensor z = logits(random_values(70, 30), {7, 10});
  const Fidelity f = measure_fidelity(z, z, labels({0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(f.agreement, 1);
  EXPECT_EQ(f.forward_kl, 0);
  EXPECT_EQ(f.reverse_kl, 0);
}

TEST(Fidelity, KlIsFiniteForLogitsFarApart) {
  // KL((1,0) || (0,1)) with logits +-1e4: log 1 - log q = 2e4.
  const Fidelity f =
      measure_fidelity(logits({-1e4, 1e4}, {1, 2}), logits({1e4, -1e4}, {1, 2}), labels({0}));
  EXPECT_NEAR(f.forward_kl, 2e4, 1e-9);
}

TEST(Metrics, Rejections) {
  expect_error([] { MetricsMeter().calibration(); }, "measure: no label counts");
  const Tensor z = Tensor::zeros({3, 2});
  expect_error([&] { measure(Tensor::zeros({3}), labels({0})); },
               "measure: logits are f32 (3); expected floating (N,V) with N, V >= 1");
  expect_error(
      [&] {
        measure(Tensor::zeros({3, 2}, DType::i32), labels({0, 0, 0}));
      },
      "measure: logits are i32 (3,2); expected floating");
  expect_error([&] { measure(Tensor::zeros({0, 2}), labels({})); }, "logits are f32 (0,2)");
  expect_error(
      [&] {
        measure(z, labels({0, 1}));
      },
      "measure: labels are i32 (2); expected i32 (3)");
  expect_error([&] { measure(z, labels({0, 1, 2})); }, "measure: label 2; expected 0 to 1");
  expect_error(
      [&] {
        measure_fidelity(z, z, labels({0, 1, -1}));
      },
      "measure_fidelity: label -1; expected 0 to 1");
  expect_error(
      [&] {
        measure_fidelity(z, Tensor::zeros({3, 4}), labels({0, 1, 1}));
      },
      "measure_fidelity: teacher has shape (3,4), student (3,2); expected equal shapes");
}

}  // namespace
}  // namespace limbeck::testing
