// SPDX-License-Identifier: Apache-2.0
// Semi Gaussian-Laplace distillation: three ways to compose it, and why products get a Laplace.
#include <limbeck/distill/semi_gaussian_laplace.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/distill/distribution_kl.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr SemiCompose kComposes[] = {SemiCompose::additive, SemiCompose::stack, SemiCompose::dist};

class SemiGaussianLaplaceTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, SemiGaussianLaplaceTest,
                         ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(SemiGaussianLaplaceTest, AdditiveIsTheSumOfItsPartsToTheBit) {
  const Tensor s = random({5, 2, 4}, 1), t = random({5, 2, 3}, 2);
  SemiGaussianLaplace both({2, 4}, {2, 3},
                           {.likelihood_weight = 0.3, .polynomial_weight = 7, .seed = 9}, dtype(),
                           device());
  GaussianLaplace likelihood({2, 4}, {2, 3}, {.seed = 9}, dtype(), device());
  Polynomial polynomial({2, 4}, {2, 3});
  const Variable a(s, true), b(s, true);
  const Variable whole = both.loss(a, both.encode(t), 5);
  const Variable first = scale(likelihood.loss(b, likelihood.encode(t), 5), 0.3);
  const Variable second = scale(polynomial.loss(b, polynomial.encode(t), 5), 7);
  const Variable parts = add(first, second);
  EXPECT_TRUE(same_bytes(whole.value(), parts.value()));
  whole.backward();
  parts.backward();
  EXPECT_TRUE(same_bytes(a.grad(), b.grad()));
  EXPECT_FALSE(both.per_sample());
  EXPECT_EQ(both.code_shape(), (Shape{2, 3}));
}

TEST_P(SemiGaussianLaplaceTest, StackIsAGaussianOfFeaturesAndAMixtureOfProducts) {
  const std::int64_t N = 6, in = 4, C = 3, K = 8;
  const Tensor s = random({N, in}, 1), t = random({N, C}, 2);
  SemiGaussianLaplace technique({in}, {C}, {.compose = SemiCompose::stack, .K = K, .seed = 5},
                                dtype(), device());
  EXPECT_EQ(technique.code_shape(), (Shape{1, C + K}));
  EXPECT_TRUE(technique.per_sample());
  const Variable loss = technique.loss(Variable(s), technique.encode(t), static_cast<double>(N));
  // The same in ordinary ops.
  const auto p = technique.parameters();
  const auto plan = [&](std::int64_t D, double gamma, double c, std::uint32_t layer) {
    return tensor_sketch_plan(
        D, K, {.degree = 2, .gamma = gamma, .c = c, .seed = 5, .layer = layer}, device());
  };
  const Variable products = tensor_sketch(Variable(t), plan(C, std::sqrt(8.0) / 3, 0, 0));
  const Variable rows(s), lifted = concat({rows, tensor_sketch(rows, plan(in, 0.25, 1, 1))}, -1);
  const Variable linear_part = likelihood_loss(
      linear(rows, p[0].value, p[1].value), t,
      initial_scales(Likelihood::gauss, C, dtype(), device()), {.kind = Likelihood::gauss});
  const Variable quadratic_part =
      likelihood_loss(linear(lifted, p[3].value, p[4].value), products.value(),
                      initial_scales(Likelihood::mixture, K, dtype(), device()), {});
  EXPECT_TRUE(same_bytes(loss.value(), add(linear_part, quadratic_part).value()));
}

TEST_P(SemiGaussianLaplaceTest, DistComparesWithADistributionAroundTheFeature) {
  const std::int64_t N = 6, in = 4, C = 3;
  const Tensor s = random({N, in}, 1), t = random({N, C}, 2);
  for (const DistributionKl kind : {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace,
                                    DistributionKl::gauss_laplace}) {
    SemiGaussianLaplace technique(
        {in}, {C}, {.compose = SemiCompose::dist, .distribution = kind, .source_scale = 0.5},
        dtype(), device());
    const Variable loss = technique.loss(Variable(s), technique.encode(t), static_cast<double>(N));
    const auto p = technique.parameters();
    const Variable out = linear(Variable(s), p[0].value, p[1].value);
    const double log_scale = std::log(0.5) * (kind == DistributionKl::laplace_laplace ? 1 : 2);
    const Variable fixed(Tensor::full({N, C}, log_scale, dtype(), device()));
    const Variable same = distribution_kl(
        {Variable(t), fixed}, {slice(out, -1, 0, C), slice(out, -1, C, 2 * C)}, {.kind = kind});
    EXPECT_TRUE(same_bytes(loss.value(), same.value()));
    EXPECT_TRUE(technique.per_sample());
  }
}

TEST_P(SemiGaussianLaplaceTest, NothingOfTheSourceIsTrained) {
  for (const SemiCompose compose : kComposes) {
    const Variable source(random({4, 3, 2}, 2), true), receiver(random({4, 3, 5}, 1), true);
    SemiGaussianLaplace technique({3, 5}, {3, 2}, {.compose = compose}, dtype(), device());
    technique.loss(receiver, technique.encode(source.value()), 4).backward();
    EXPECT_TRUE(receiver.grad().defined());
    EXPECT_FALSE(source.grad().defined());
    for (const NamedParameter& p : technique.parameters())
      EXPECT_TRUE(p.value.grad().defined()) << p.name;
  }
}

TEST(SemiGaussianLaplace, Gradients) {
  const Tensor s = Tensor::from(random_values(3 * 2 * 4, 1, 1), {3, 2, 4});
  const Tensor t = Tensor::from(random_values(3 * 2 * 3, 1, 2), {3, 2, 3});
  for (const SemiCompose compose : kComposes) {
    SemiGaussianLaplace technique({2, 4}, {2, 3}, {.compose = compose, .K = 6}, DType::f64);
    const Tensor code = technique.encode(t);
    const GradCheckResult result =
        grad_check([&](std::span<const Variable> v) { return technique.loss(v[0], code, 3); }, {s});
    EXPECT_LT(result.error, 1e-7) << result.where;
  }
}

TEST(SemiGaussianLaplace, ParametersByComposition) {
  const auto names = [](SemiCompose compose) {
    std::string all;
    for (const NamedParameter& p : SemiGaussianLaplace({4}, {3}, {.compose = compose}).parameters())
      all += p.name + " ";
    return all;
  };
  EXPECT_EQ(names(SemiCompose::additive), "adapter.weight adapter.bias scale_v scale_b kappa ");
  EXPECT_EQ(names(SemiCompose::stack),
            "linear.adapter.weight linear.adapter.bias linear.scale_v "
            "quadratic.adapter.weight quadratic.adapter.bias "
            "quadratic.scale_v quadratic.scale_b quadratic.kappa ");
  EXPECT_EQ(names(SemiCompose::dist), "adapter.weight adapter.bias ");
  EXPECT_EQ(SemiGaussianLaplace({4}, {3}, {.compose = SemiCompose::stack}).describe(),
            "semi_gaussian_laplace(stack: gauss 4 -> 3, mixture of 30 products)");
}

TEST(SemiGaussianLaplace, TwoDirectionsShareNothing) {
  // Two models that teach each other: adapters both ways, each trained by its own loss only.
  const Variable small(Tensor::from(random_values(15, 1, 1), {5, 3}).to(DType::f32), true);
  const Variable big(Tensor::from(random_values(20, 1, 2), {5, 4}).to(DType::f32), true);
  SemiGaussianLaplace up({3}, {4}), down({4}, {3});
  up.loss(small, up.encode(big.value()), 5).backward();
  EXPECT_TRUE(small.grad().defined());
  EXPECT_FALSE(big.grad().defined());
  for (const NamedParameter& p : down.parameters())
    EXPECT_FALSE(p.value.grad().defined()) << p.name;
}

// A distribution's mean and scale per sample: the scale learns where the source is hard to predict.
TEST(SemiGaussianLaplace, DistLearnsTheScaleOfEachSample) {
  // t is 0 but for noise of size 1 in every second sample; the receiver sees which ones.
  const std::int64_t N = 64;
  Tensor s = Tensor::empty({N, 1}, DType::f64), t = Tensor::empty({N, 1}, DType::f64);
  for (std::int64_t i = 0; i < N; ++i) {
    s.data<double>()[i] = i % 2;
    t.data<double>()[i] = i % 2 ? (i % 4 == 1 ? 1 : -1) : 0;
  }
  SemiGaussianLaplace technique({1}, {1}, {.compose = SemiCompose::dist}, DType::f64);
  Adamw optimizer(technique.parameters(), {.parameters = {.weight_decay = 0}});
  const Tensor code = technique.encode(t);
  for (int i = 0; i < 1500; ++i) {
    optimizer.zero_grad();
    technique.loss(Variable(s), code, static_cast<double>(N)).backward();
    optimizer.step(0.1 * (1 - i / 1500.0));
  }
  const auto p = technique.parameters();
  const auto w = to_doubles(p[0].value.value()), b = to_doubles(p[1].value.value());
  // Variances: the source's own 0.01, and that plus 1.
  EXPECT_NEAR(b[1], std::log(0.01), 1e-3);
  EXPECT_NEAR(w[1] + b[1], std::log(1.01), 1e-3);
}

/// n standard normals.
std::vector<double> normals(std::int64_t n) {
  Tensor t = Tensor::empty({n}, DType::f64);
  fill_normal(t, 1, {.seed = 3, .purpose = RngPurpose::data});
  return to_doubles(t);
}

// Laplace(0,1): E|x| = 1, E x^2 = 2, kurtosis 6, P(|x| > 3) = e^-3.
TEST(SemiGaussianLaplace, TwoProductsOfNormalsAreALaplace) {
  const std::int64_t n = 100000;
  const std::vector<double> z = normals(4 * n);
  double size = 0, second = 0, fourth = 0, beyond = 0;
  for (std::size_t i = 0; i < z.size(); i += 4) {
    const double x = z[i] * z[i + 1] + z[i + 2] * z[i + 3];
    size += std::abs(x) / static_cast<double>(n);
    second += x * x / static_cast<double>(n);
    fourth += x * x * x * x / static_cast<double>(n);
    beyond += (std::abs(x) > 3 ? 1.0 : 0.0) / static_cast<double>(n);
  }
  // Four standard errors: of |x| 1/sqrt n, of P sqrt(P/n), of a ratio of moments more.
  EXPECT_NEAR(size, 1, 4 / std::sqrt(n));
  EXPECT_NEAR(second, 2, 4 * std::sqrt(20.0 / static_cast<double>(n)));
  EXPECT_NEAR(fourth / (second * second), 6, 0.6);
  EXPECT_NEAR(beyond, std::exp(-3), 4 * std::sqrt(std::exp(-3) / static_cast<double>(n)));
}

// Codes of 16 independent normals in 64 numbers: those of degree 2 are sums of some 4 products,
// whose excess kurtosis is near 6/4, and of variance 1; the features' own is 0.
TEST(SemiGaussianLaplace, ProductsHaveHeavyTailsAndFeaturesNot) {
  const std::int64_t N = 4000, C = 16, K = 64;
  const Tensor t = Tensor::from(normals(N * C), {N, C});
  const SemiGaussianLaplace technique({4}, {C}, {.compose = SemiCompose::stack, .K = K},
                                      DType::f64);
  const std::vector<double> code = to_doubles(technique.encode(t));
  double kurtosis[2] = {0, 0}, variance = 0;
  for (std::int64_t c = 0; c < C + K; ++c) {
    double mean = 0, second = 0, fourth = 0;
    for (std::int64_t i = 0; i < N; ++i) mean += code[i * (C + K) + c] / static_cast<double>(N);
    for (std::int64_t i = 0; i < N; ++i) {
      const double x = code[i * (C + K) + c] - mean;
      second += x * x / static_cast<double>(N);
      fourth += x * x * x * x / static_cast<double>(N);
    }
    if (second == 0) continue;  // no product came there
    kurtosis[c < C ? 0 : 1] +=
        (fourth / (second * second) - 3) / static_cast<double>(c < C ? C : K);
    if (c >= C) variance += second / static_cast<double>(K);
  }
  EXPECT_NEAR(kurtosis[0], 0, 0.2);
  EXPECT_GT(kurtosis[1], 1);
  EXPECT_NEAR(variance, 1, 0.25);
}

TEST(SemiGaussianLaplace, Rejections) {
  expect_error(
      [] { SemiGaussianLaplace({3}, {3}, {.compose = SemiCompose::dist, .source_scale = 0}); },
      "semi_gaussian_laplace: source_scale is 0; expected > 0");
  SemiGaussianLaplace technique({3}, {4}, {.compose = SemiCompose::stack, .K = 8});
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({2, 3}));
      },
      "semi_gaussian_laplace: source's tap has shape (2,3); expected samples of (4)");
  expect_error(
      [&] {
        technique.loss(Variable(Tensor::zeros({2, 3})), Tensor::zeros({2, 1, 4}), 2);
      },
      "semi_gaussian_laplace: code has shape (2,1,4)");
}

}  // namespace
}  // namespace limbeck::testing
