// SPDX-License-Identifier: Apache-2.0
// The divergence of distributions on the tape.
#include <limbeck/distill/distribution_kl.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class DistillDistributionKlTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillDistributionKlTest);

// 1/2 D^2 with D = 2 and equal scales; twice that upstream.
TEST_P(DistillDistributionKlTest, HandNumbers) {
  const Variable m1(make({2}, {1, 1})), m2(make({0}, {1, 1}), true);
  const Variable fixed(make({0}, {1})), s2(make({0}, {1, 1}), true);
  const Variable loss = distribution_kl({m1, fixed}, {m2, s2}, {});
  expect_close(loss.value(), {2}, tolerance());
  scale(loss, 2).backward();
  expect_close(m2.grad(), {-4}, tolerance());
  expect_close(s2.grad(), {-4}, tolerance());
  EXPECT_FALSE(m1.grad().defined());
}

TEST(DistillDistributionKl, Gradients) {
  const auto random = [](std::uint64_t seed) {
    return Tensor::from(random_values(12, 1, seed), {4, 3});
  };
  for (const DistributionKl kind : {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace,
                                    DistributionKl::gauss_laplace}) {
    const GradCheckResult result = grad_check(
        [&](std::span<const Variable> v) {
          return distribution_kl({v[0], v[1]}, {v[2], v[3]}, {.kind = kind, .mean_over = 3});
        },
        {random(1), random(2), random(3), random(4)});
    EXPECT_LT(result.error, 1e-7) << distribution_kl_name(kind) << " " << result.where;
  }
}

TEST(DistillDistributionKl, TheLaplacesIsSmoothWhereItsMeansMeet) {
  // Around D = 0 the slope with respect to a mean is D/b^2, not a step.
  const auto slope = [](double d) {
    const Variable m2(Tensor::full({1, 1}, d, DType::f64), true);
    const Variable zero(Tensor::zeros({1, 1}, DType::f64));
    distribution_kl({zero, zero}, {m2, zero}, {.kind = DistributionKl::laplace_laplace}).backward();
    return m2.grad().item();
  };
  EXPECT_NEAR(slope(1e-6), 1e-6, 1e-11);
  EXPECT_NEAR(slope(-1e-6), -1e-6, 1e-11);
  EXPECT_EQ(slope(0), 0);
}

TEST(DistillDistributionKl, OneLogScaleForAllGetsNoGradient) {
  const Variable x(Tensor::zeros({2, 3})), one(Tensor::zeros({1}), true);
  expect_error([&] { distribution_kl({x, one}, {x, x}, {}); }, "distribution_kl: gradient of p's");
}

class DistributionKlParityTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(DistributionKlParityTest);

TEST_P(DistributionKlParityTest, AsTorchDistributions) {
  for (const DistributionKl kind : {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace,
                                    DistributionKl::gauss_laplace}) {
    const Fixture fixture("likelihoods", distribution_kl_name(kind));
    const auto leaf = [&](const char* name) {
      return Variable(fixture[name].to(dtype()).to(device()), true);
    };
    const DistributionVariables p{leaf("m1"), leaf("s1")}, q{leaf("m2"), leaf("s2")};
    const Variable loss = distribution_kl(p, q, {.kind = kind});
    loss.backward();
    // As for layers: both round in orders of their own.
    expect_close(loss.value(), to_doubles(fixture["y"]), 1e-5, distribution_kl_name(kind));
    expect_close(p.mean.grad(), to_doubles(fixture["dm1"]), 1e-4, "dm1");
    expect_close(p.log_scale.grad(), to_doubles(fixture["ds1"]), 1e-4, "ds1");
    expect_close(q.mean.grad(), to_doubles(fixture["dm2"]), 1e-4, "dm2");
    expect_close(q.log_scale.grad(), to_doubles(fixture["ds2"]), 1e-4, "ds2");
  }
}

}  // namespace
}  // namespace limbeck::testing
