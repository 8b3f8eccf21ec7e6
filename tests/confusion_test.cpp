// SPDX-License-Identifier: Apache-2.0
// Tests of the transfer of confusions.
#include <limbeck/distill/confusion.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

/// Logits of these probabilities.
Tensor logits(const std::vector<double>& p, const Shape& shape) {
  std::vector<double> z;
  for (const double v : p) z.push_back(std::log(v));
  return Tensor::from(z, shape);
}

Tensor labels(const std::vector<std::int32_t>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}

ConfusionTransfer confusion(const Tensor& student, const Tensor& teacher, const Tensor& y) {
  ConfusionMeter meter(student.dim(1));
  meter.add(student, teacher, y);
  return meter.result();
}

TEST(Confusion, HandNumbers) {
  // Two samples of class 0, one of class 1, none of class 2, one that does not count.
  const Tensor student = logits({.6, .3, .1, .2, .7, .1, .5, .2, .3, .1, .1, .8}, {4, 3});
  const Tensor teacher = logits({.2, .5, .3, .2, .6, .2, .3, .1, .6, .1, .1, .8}, {4, 3});
  const ConfusionTransfer c = confusion(student, teacher, labels({0, 0, 1, -100}));
  expect_close(to_doubles(c.student), {.4, .5, .1, .5, .2, .3, 0, 0, 0}, 1e-14);
  expect_close(to_doubles(c.teacher), {.2, .55, .25, .3, .1, .6, 0, 0, 0}, 1e-14);
  EXPECT_EQ(c.samples, (std::vector<std::int64_t>{2, 1, 0}));
  // Off the diagonal: (.5, .1, .5, .3) and (.55, .25, .3, .6), means .35 and .425; sums of products
  // of deviations .11, .0925 and .035.
  EXPECT_NEAR(*c.correlation, .035 / std::sqrt(.11 * .0925), 1e-12);
  // Sample 1: both say 1 for a 0. Sample 2: 0 and 2 for a 1. Sample 0: only the teacher is wrong.
  EXPECT_EQ(c.both_wrong, 2);
  EXPECT_EQ(c.same_wrong_class, 1);
  EXPECT_EQ(*c.same_wrong_share(), 0.5);
}

TEST(Confusion, ATwinHasAllOfIt) {
  const Tensor z = Tensor::from(random_values(50 * 4, 3), {50, 4});
  std::vector<std::int32_t> y;
  for (int i = 0; i < 50; ++i) y.push_back(i % 4);
  const ConfusionTransfer c = confusion(z, z, labels(y));
  EXPECT_NEAR(*c.correlation, 1, 1e-14);
  EXPECT_GT(c.both_wrong, 0);
  EXPECT_EQ(*c.same_wrong_share(), 1);
  for (std::int64_t row = 0; row < 4; ++row) {
    double sum = 0;
    for (std::int64_t v = 0; v < 4; ++v) sum += c.student.data<double>()[row * 4 + v];
    EXPECT_NEAR(sum, 1, 1e-14);
  }
}

TEST(Confusion, NothingToSay) {
  // Both right, and every wrong class alike: no share, no correlation.
  const Tensor z = logits({.8, .1, .1, .1, .8, .1}, {2, 3});
  const ConfusionTransfer c = confusion(z, z, labels({0, 1}));
  EXPECT_FALSE(c.same_wrong_share());
  EXPECT_EQ(c.both_wrong, 0);
  EXPECT_FALSE(pearson({1}, {2}));
  EXPECT_FALSE(pearson({1, 1, 1}, {1, 2, 3}));
  EXPECT_NEAR(*pearson({1, 2, 3}, {-2, -4, -6}), -1, 1e-15);
}

TEST(Confusion, PartsAndDevices) {
  const Tensor s = Tensor::from(random_values(20 * 3, 2, 1), {20, 3}).to(DType::f32);
  const Tensor t = Tensor::from(random_values(20 * 3, 2, 2), {20, 3}).to(DType::f32);
  std::vector<std::int32_t> y;
  for (int i = 0; i < 20; ++i) y.push_back(i * i % 3);
  const ConfusionTransfer whole = confusion(s, t, labels(y));
  const Device device = cuda_device_count() > 0 ? Device::cuda() : Device::cpu();
  ConfusionMeter parts(3);
  parts.add(s.rows(0, 9).to(device), t.rows(0, 9).to(device), labels(y).rows(0, 9).to(device));
  parts.add(s.rows(9, 20), t.rows(9, 20), labels(y).rows(9, 20));
  EXPECT_TRUE(same_bytes(parts.result().student, whole.student));
  EXPECT_EQ(parts.result().correlation, whole.correlation);
}

TEST(Confusion, Rejections) {
  expect_error([] { ConfusionMeter(1); }, "confusion: 1 classes; expected at least 2");
  ConfusionMeter meter(3);
  const Tensor z = Tensor::zeros({1, 2});
  expect_error([&] { meter.add(z, z, labels({0})); }, "confusion: logits of 2 classes; expected 3");
  expect_error([] { pearson({1}, {}); }, "pearson: lists of 1 and 0 values");
}

}  // namespace
}  // namespace limbeck::testing
