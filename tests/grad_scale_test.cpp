// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/grad_scale.h>

#include <cmath>

#include <limbeck/kernels/sgd.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Scaled {
  double factor, norm;
};

class GradScaleTest : public DeviceTest {
 protected:
  DType scalar() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  Tensor one(double value) const { return Tensor::full({1}, value, scalar(), device()); }
  Scaled run(const std::vector<Tensor>& grads, const GradScaleOptions& options) const {
    Tensor factor = one(-1), norm = one(-1);
    grad_scale(factor, norm, grads, options);
    return {factor.item(), norm.item()};
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(GradScaleTest);

TEST_P(GradScaleTest, HandNumbers) {
  const std::vector<Tensor> grads = {make({3, 0}, {2}), make({0, -4}, {1, 2})};  // norm 5
  const double bound = scalar() == DType::f64 ? 1e-15 : 1e-6;
  EXPECT_NEAR(run(grads, {}).norm, 5, 5 * bound);
  EXPECT_EQ(run(grads, {}).factor, 1);
  EXPECT_EQ(run(grads, {.max_norm = 10}).factor, 1);
  EXPECT_NEAR(run(grads, {.max_norm = 2.5}).factor, 2.5 / (5 + 1e-6), bound);
  const Scaled eighth = run(grads, {.max_norm = 0.25, .loss_scale = one(8)});
  EXPECT_NEAR(eighth.norm, 0.625, bound);
  EXPECT_NEAR(eighth.factor, 0.25 / (0.625 + 1e-6) / 8, bound);
  EXPECT_EQ(run(grads, {.loss_scale = one(8)}).factor, 0.125);
}

// More tensors than fit a launch, of sizes around the pieces of both devices.
TEST_P(GradScaleTest, NormOfManyTensorsOfEverySize) {
  std::vector<Tensor> grads;
  double squares = 0;
  for (std::int64_t n : {0, 1, 31, 1023, 1024, 1025, 40000}) {
    grads.push_back(make(random_values(n, 1, static_cast<std::uint64_t>(n)), {n}));
    for (double v : to_doubles(grads.back())) squares += v * v;
  }
  for (int i = 0; i < 70; ++i) {
    grads.push_back(make({0.5}, {1}));
    squares += 0.25;
  }
  // The sum's own rounding: its inputs are exact here.
  EXPECT_NEAR(run(grads, {}).norm, std::sqrt(squares), 2e-6 * std::sqrt(squares));
}

TEST_P(GradScaleTest, WhatIsNotFiniteMakesTheStepBeSkipped) {
  for (double bad : {std::nan(""), HUGE_VAL}) {
    const std::vector<Tensor> grads = {make({1}, {1}), make({0, bad}, {2})};
    const Scaled found = run(grads, {.max_norm = 1});
    EXPECT_FALSE(std::isfinite(found.norm));
    EXPECT_TRUE(std::isnan(found.factor));
  }
  EXPECT_EQ(run({make({}, {0})}, {.max_norm = 1}).factor, 1);
}

TEST_P(GradScaleTest, ClipsTheStepOfAnOptimiser) {
  if (dtype_size(dtype()) < 4) GTEST_SKIP() << "values are full precision";
  Tensor factor = one(0), norm = one(0);
  std::vector<SgdParam> params = {{make({1, 1}, {2}), make({3, -4}, {2}), {}, 0}};
  const std::vector<Tensor> grads = {params[0].grad};
  grad_scale(factor, norm, grads, {.max_norm = 1});
  sgd_step(params, {.lr = 1, .grad_scale = factor});
  expect_close(params[0].value, {1 - 0.6, 1 + 0.8}, 2 * tolerance() + 1e-6);
}

class LossScaleTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, LossScaleTest, ::testing::ValuesIn([] {
                           auto params = full_precision_devices();
                           std::erase_if(params, [](auto& p) { return p.dtype == DType::f64; });
                           return params;
                         }()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(LossScaleTest, GrowsAfterAStreakAndBacksOffAtOnce) {
  Tensor scale = make({1024}, {1}), streak = make({0}, {1});
  const Tensor good = make({3}, {1}), bad = make({HUGE_VAL}, {1});
  const LossScaleOptions options{.growth = 2, .backoff = 0.25, .growth_interval = 3};
  const auto expect_after = [&](const Tensor& norm, double wanted_scale, double wanted_streak) {
    update_loss_scale(scale, streak, norm, options);
    EXPECT_EQ(scale.item(), wanted_scale);
    EXPECT_EQ(streak.item(), wanted_streak);
  };
  expect_after(good, 1024, 1);
  expect_after(good, 1024, 2);
  expect_after(good, 2048, 0);
  expect_after(good, 2048, 1);
  expect_after(bad, 512, 0);
}

TEST(GradScale, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<Tensor> grads;
    for (std::int64_t n : {100000, 17})
      grads.push_back(Tensor::from(random_values(n, 1, 3), {n}).to(DType::f32));
    Tensor factor = Tensor::zeros({1}), norm = Tensor::zeros({1});
    grad_scale(factor, norm, grads, {.max_norm = 0.5});
    return std::vector{factor, norm};
  });
}

TEST(GradScale, Rejections) {
  Tensor one = Tensor::zeros({1}), other = Tensor::zeros({1}, DType::f64), two = Tensor::zeros({2});
  const std::vector<Tensor> grads = {two}, mixed = {two, other}, undefined = {two, Tensor()};
  expect_error([&] { grad_scale(one, one, {}, {}); }, "grad_scale: no gradients");
  expect_error([&] { grad_scale(one, one, undefined, {}); }, "gradient 1 is undefined");
  expect_error([&] { grad_scale(one, one, mixed, {}); },
               "grad_scale: gradient 1 is f64 on cpu, gradient 0 f32 on cpu");
  expect_error([&] { grad_scale(one, one, grads, {.max_norm = 0}); },
               "max_norm is 0; expected > 0");
  expect_error([&] { grad_scale(two, one, grads, {}); },
               "grad_scale: factor is f32(2) on cpu; expected one f32 on cpu");
  expect_error([&] { grad_scale(one, other, grads, {}); }, "grad_scale: norm is f64(1)");
  expect_error([&] { grad_scale(one, one, grads, {.loss_scale = two}); }, "loss_scale is f32(2)");
  expect_error([&] { update_loss_scale(one, one, one, {.growth = 0.5}); }, "growth is 0.5");
  expect_error([&] { update_loss_scale(one, one, one, {.backoff = 0}); }, "backoff is 0");
  expect_error([&] { update_loss_scale(one, one, one, {.growth_interval = 0}); },
               "growth_interval is 0");
  expect_error([&] { update_loss_scale(two, one, one, {}); }, "update_loss_scale: scale is f32(2)");
}

}  // namespace
}  // namespace limbeck::testing
