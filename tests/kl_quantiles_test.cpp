// SPDX-License-Identifier: Apache-2.0
// Tests of the spread of a student's distance from its teacher.
#include <limbeck/distill/kl_quantiles.h>

#include <limits>

#include <limbeck/distill/metrics.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

std::vector<double> list(const Quantiles& q) { return {q.p5, q.p25, q.p50, q.p75, q.p95, q.max}; }

TEST(Quantiles, HandNumbers) {
  // 0, 10, 20, 30, 40 in another order: places 0.2, 1, 2, 3, 3.8 of the sorted list.
  expect_close(list(quantiles_of({30, 0, 40, 10, 20})), {2, 10, 20, 30, 38, 40}, 1e-15);
  expect_close(list(quantiles_of({7})), {7, 7, 7, 7, 7, 7}, 0);
  for (const double q : list(quantiles_of({1, std::nan(""), 2}))) EXPECT_TRUE(std::isnan(q));
  expect_error([] { quantiles_of({}); }, "quantiles_of: no values; expected at least one");
}

TEST(KlQuantiles, HandNumbers) {
  // Teacher (3/4, 1/4), student (1/2, 1/2): forward 3/4 log 3/2 + 1/4 log 1/2, reverse
  // 1/2 log 2/3 + 1/2 log 2. The second sample does not count; in the third both agree.
  const double log3 = std::log(3.0);
  const Tensor student = Tensor::from<double>({1, 1, 9, 0, 2, 2}, {3, 2});
  const Tensor teacher = Tensor::from<double>({log3, 0, 0, 9, 5, 5}, {3, 2});
  KlMeter meter;
  meter.add(student, teacher, Tensor::from<std::int32_t>({0, -100, 1}, {3}));
  const double forward = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  const double reverse = 0.5 * std::log(2 / 3.0) + 0.5 * std::log(2.0);
  const KlQuantiles q = meter.result();
  EXPECT_NEAR(q.forward.max, forward, 1e-15);
  EXPECT_NEAR(q.forward.p50, forward / 2, 1e-15);
  EXPECT_NEAR(q.reverse.max, reverse, 1e-15);
  EXPECT_NEAR(q.reverse.p5, reverse * 0.05, 1e-15);
}

// In parts, from other dtypes and from a GPU: the same numbers.
TEST(KlQuantiles, PartsAndDevices) {
  std::vector<double> s = random_values(40 * 5, 4, 1), t = random_values(40 * 5, 4, 2);
  for (auto* values : {&s, &t})
    for (double& v : *values) v = std::round(8 * v) / 8;  // what bf16 holds
  const Tensor student = Tensor::from(s, {40, 5}), teacher = Tensor::from(t, {40, 5});
  const Tensor labels = Tensor::zeros({40}, DType::i32);
  KlMeter whole, parts;
  whole.add(student, teacher, labels);
  const Device device = cuda_device_count() > 0 ? Device::cuda() : Device::cpu();
  for (const auto& [first, last] : {std::pair{0, 7}, {7, 40}})
    parts.add(student.rows(first, last).to(DType::bf16).to(device),
              teacher.rows(first, last).to(DType::f32).to(device),
              labels.rows(first, last).to(device));
  EXPECT_EQ(list(whole.result().forward), list(parts.result().forward));
  EXPECT_EQ(list(whole.result().reverse), list(parts.result().reverse));
  EXPECT_LE(whole.result().forward.p50, whole.result().forward.p75);
}

TEST(KlQuantiles, Rejections) {
  KlMeter meter;
  expect_error([&] { meter.result(); }, "kl_quantiles: no label counts");
  expect_error(
      [&] {
        meter.add(Tensor::zeros({2, 3}), Tensor::zeros({2, 4}), Tensor::zeros({2}, DType::i32));
      },
      "kl_quantiles: teacher has shape (2,4), student (2,3); expected equal shapes (N,V)");
}

}  // namespace
}  // namespace limbeck::testing
