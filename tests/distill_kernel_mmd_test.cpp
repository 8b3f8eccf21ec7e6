// SPDX-License-Identifier: Apache-2.0
// Distillation of populations: exact, and by random features.
#include <limbeck/distill/kernel_mmd.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class DistillKernelMmdTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, DistillKernelMmdTest,
                         ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(DistillKernelMmdTest, IsTheOpOnAverages) {
  const Tensor s = random({5, 2, 2, 3}, 1), t = random({5, 4, 3}, 2);
  KernelMmd technique({2, 2, 3}, {4, 3}, {.sigma_rbf = 1, .sigma_laplace = 3}, dtype(), device());
  EXPECT_EQ(technique.code_shape(), (Shape{1, 3}));
  EXPECT_TRUE(technique.parameters().empty());
  EXPECT_FALSE(technique.per_sample());
  const Variable tap(s, true), rows(tap_rows(s, {1, 1}), true);
  const Variable loss = technique.loss(tap, technique.encode(t), 5);
  const Variable same = kernel_mmd(rows, tap_rows(t, {1, 1}), {.sigma_rbf = 1, .sigma_laplace = 3});
  EXPECT_TRUE(same_bytes(loss.value(), same.value()));
  scale(loss, 2).backward();
  scale(same, 2).backward();
  // An average over four cells hands each a quarter.
  std::vector<double> expected;
  for (std::int64_t i = 0; i < s.numel(); ++i)
    expected.push_back(to_doubles(rows.grad())[static_cast<std::size_t>(i / 12 * 3 + i % 3)] / 4);
  expect_close(tap.grad(), expected, tolerance());
}

TEST_P(DistillKernelMmdTest, AnAdapterMakesWidthsMeet) {
  const Tensor s = random({4, 3, 5}, 1), t = random({4, 3, 2}, 2);
  KernelMmd technique({3, 5}, {3, 2}, {.every_position = true}, dtype(), device());
  EXPECT_EQ(technique.code_shape(), (Shape{3, 2}));
  const auto parameters = technique.parameters();
  ASSERT_EQ(parameters.size(), 2u);
  const Variable tap(s, true), source(t, true);
  technique.loss(tap, technique.encode(source.value()), 4).backward();
  EXPECT_TRUE(tap.grad().defined());
  EXPECT_TRUE(parameters[0].value.grad().defined());
  EXPECT_FALSE(source.grad().defined());
}

TEST_P(DistillKernelMmdTest, ManyFrequenciesComeNearTheKernel) {
  const Tensor s = random({6, 8}, 1), t = random({6, 8}, 2);
  const KernelMmdLossOptions o{.sigma_rbf = 2, .sigma_laplace = 5};
  KernelMmdLossOptions fourier = o;
  fourier.frequencies = 2000;
  KernelMmd exact({8}, {8}, o, dtype(), device()), near({8}, {8}, fourier, dtype(), device());
  const Variable a(s, true), b(s, true);
  const Variable la = exact.loss(a, exact.encode(t), 6), lb = near.loss(b, near.encode(t), 6);
  la.backward();
  lb.backward();
  // Kernels are off by 1/sqrt(2 m) = 0.016 at most, and the loss is half a mean of them.
  EXPECT_NEAR(lb.value().to(Device::cpu()).item(), la.value().to(Device::cpu()).item(), 0.016);
  expect_close(b.grad(), to_doubles(a.grad()), 0.2);
}

TEST(DistillKernelMmd, Gradients) {
  const Tensor s = Tensor::from(random_values(12, 1, 1), {4, 3});
  const Tensor t = Tensor::from(random_values(12, 1, 2), {4, 3});
  for (const std::int64_t frequencies : {0, 7}) {
    KernelMmd technique({3}, {3}, {.sigma_rbf = 1, .sigma_laplace = 3, .frequencies = frequencies},
                        DType::f64);
    const Tensor code = technique.encode(t);
    const GradCheckResult result =
        grad_check([&](std::span<const Variable> v) { return technique.loss(v[0], code, 4); }, {s});
    EXPECT_LT(result.error, 1e-7) << result.where;
  }
}

// Of one row each the discrepancy by m frequencies is 2 - 2 k, k an average whose variance is
// (1 - k^2)^2 / 2m. Four standard errors of a variance that 4000 draws tell, sqrt(2/4000) and more
// as the draws' tails are: 3 % each.
TEST(DistillKernelMmd, FrequenciesHaveTheVarianceTheyShould) {
  const std::int64_t D = 3, m = 8, draws = 4000;
  const Variable s(Tensor::from(random_values(D, 1, 1), {1, D}));
  const Tensor t = Tensor::from(random_values(D, 1, 2), {1, D});
  double square = 0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(D); ++d)
    square += std::pow(to_doubles(s.value())[d] - to_doubles(t)[d], 2);
  for (const double sigma : {0.6, 1.5}) {
    const double k = std::exp(-square / (2 * sigma * sigma));
    double mean = 0, squares = 0;
    for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(draws); ++seed) {
      const Tensor w = gaussian_frequencies(seed, 0, {m, D}, sigma, DType::f64);
      const double estimate = 1 - fourier_mmd(s, t, w).value().item() / 2;
      mean += estimate / static_cast<double>(draws);
      squares += (estimate - k) * (estimate - k) / static_cast<double>(draws);
    }
    const double variance = std::pow(1 - k * k, 2) / (2 * static_cast<double>(m));
    EXPECT_NEAR(mean, k, 4 * std::sqrt(variance / static_cast<double>(draws)));
    EXPECT_NEAR(squares / variance, 1, 0.12) << "sigma " << sigma;
  }
}

TEST(DistillKernelMmd, MediansOfDistances) {
  // Between (0,0), (3,4) and (3,-8): distances 5, sqrt 73 and 12, sizes 7, 11 and 12.
  const Tensor x = Tensor::from<double>({0, 0, 3, 4, 3, -8}, {3, 2});
  const MedianDistances median = median_distances(x);
  EXPECT_DOUBLE_EQ(median.euclidean, std::sqrt(73));
  EXPECT_DOUBLE_EQ(median.sum_of_sizes, 11);
  EXPECT_EQ(median_distances(x, 1).euclidean, 1);
  EXPECT_EQ(median_distances(Tensor::zeros({4, 2})).euclidean, 1);
  // They are what a loss without sigmas uses.
  const Tensor s = Tensor::from(random_values(6, 1, 1), {3, 2});
  KernelMmd technique({2}, {2}, {}, DType::f64);
  EXPECT_EQ(
      technique.loss(Variable(s), technique.encode(x), 3).value().item(),
      kernel_mmd(Variable(s), x, {.sigma_rbf = std::sqrt(73), .sigma_laplace = 11}).value().item());
}

TEST(DistillKernelMmd, Rejections) {
  KernelMmd technique({3}, {3});
  const Variable tap(Tensor::zeros({2, 3}));
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({2, 1, 3}), 4);
      },
      "kernel_mmd: mean over 4 samples of a batch of 2");
  expect_error([] { KernelMmd({3}, {3}, {.frequencies = 8}); },
               "kernel_mmd: 8 frequencies of sigma_rbf 0; expected both > 0");
  expect_error([] { KernelMmd({3}, {3}, {.sigma_rbf = -1}); }, "kernel_mmd: sigmas are -1 and 0");
  EXPECT_EQ(technique.describe(), "kernel_mmd(exact, 3 -> 3)");
}

}  // namespace
}  // namespace limbeck::testing
