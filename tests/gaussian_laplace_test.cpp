// SPDX-License-Identifier: Apache-2.0
// Gaussian-Laplace distillation: its code, its loss and its parameters.
#include <limbeck/distill/gaussian_laplace.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class GaussianLaplaceTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, GaussianLaplaceTest,
                         ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(GaussianLaplaceTest, CodesAreTheSourcesRowsInUnitsOfTheirSpread) {
  // Images meet on the receiver's 1x2 cells; the source's are averaged over columns of two.
  const Tensor source = make({1, 10, 3, 30, 5, 50, 7, 70}, {1, 2, 2, 2});
  const GaussianLaplace raw({1, 2, 3}, {2, 2, 2}, {}, dtype(), device());
  EXPECT_EQ(raw.code_shape(), (Shape{2, 2}));
  expect_close(raw.encode(source), {3, 30, 5, 50}, tolerance());
  const GaussianLaplace scaled({1, 2, 3}, {2, 2, 2},
                               {.mean = make({3, 40}, {2}), .variance = make({4, 0}, {2})}, dtype(),
                               device());
  // Variances 4 and 0 and 1e-5 more.
  const double one = 1 / std::sqrt(4 + 1e-5), none = 1 / std::sqrt(1e-5);
  expect_close(scaled.encode(source), {0, -10 * none, 2 * one, 10 * none}, 2 * tolerance());
}

TEST_P(GaussianLaplaceTest, IsTheAdapterAndTheOp) {
  for (const Likelihood kind : {Likelihood::gauss, Likelihood::laplace, Likelihood::mixture}) {
    const Tensor s = random({4, 3, 5}, 1), t = random({4, 3, 2}, 2);
    GaussianLaplace technique({3, 5}, {3, 2}, {.kind = kind, .seed = 7}, dtype(), device());
    const Variable tap(s, true), rows(s.reshape({12, 5}), true);
    technique.loss(tap, technique.encode(t), 4).backward();
    const auto adapter = make_adapter(AdapterKind::linear, 5, 2, 7, dtype(), device());
    const auto p = adapter->parameters();
    const Variable mu = linear(rows, p[0].value, p[1].value);
    const LikelihoodScales scales = initial_scales(kind, 2, dtype(), device());
    likelihood_loss(mu, t.reshape({12, 2}), scales, {.kind = kind}).backward();
    EXPECT_TRUE(same_bytes(tap.grad().reshape({12, 5}), rows.grad()));
    const auto own = technique.parameters();
    EXPECT_TRUE(same_bytes(own[0].value.grad(), p[0].value.grad()));
    EXPECT_TRUE(same_bytes(own[2].value.grad(),
                           (kind == Likelihood::laplace ? scales.rho_b : scales.rho_v).grad()));
    EXPECT_TRUE(technique.per_sample());
  }
}

TEST_P(GaussianLaplaceTest, BeginsAsUnitVarianceOfEqualShares) {
  GaussianLaplace technique({3}, {4}, {}, dtype(), device());
  const LikelihoodScales& s = technique.scales();
  for (const double rho : to_doubles(s.rho_v.value()))
    EXPECT_NEAR(std::log1p(std::exp(rho)) + 1e-3, 1, 1e-6);
  for (const double rho : to_doubles(s.rho_b.value()))
    EXPECT_NEAR(std::log1p(std::exp(rho)) + 1e-3, std::sqrt(0.5), 1e-6);
  EXPECT_EQ(to_doubles(s.kappa.value()), std::vector<double>(4, 0.0));
  expect_no_launch();
}

TEST_P(GaussianLaplaceTest, NothingOfTheSourceIsTrained) {
  // The source's tap on the tape: its code carries no gradient back.
  const Variable source(random({3, 4}, 2), true), receiver(random({3, 2}, 1), true);
  GaussianLaplace technique({2}, {4}, {}, dtype(), device());
  technique.loss(receiver, technique.encode(source.value()), 3).backward();
  EXPECT_TRUE(receiver.grad().defined());
  EXPECT_FALSE(source.grad().defined());
}

TEST(GaussianLaplace, ParametersByKind) {
  const auto names = [](const GaussianLaplaceOptions& options) {
    std::string all;
    for (const NamedParameter& p : GaussianLaplace({2}, {3}, options).parameters()) {
      all += p.name + " ";
      EXPECT_TRUE(!p.decay || p.name.starts_with("adapter")) << p.name;
    }
    return all;
  };
  EXPECT_EQ(names({}), "adapter.weight adapter.bias scale_v scale_b kappa ");
  EXPECT_EQ(names({.kind = Likelihood::gauss}), "adapter.weight adapter.bias scale_v ");
  EXPECT_EQ(names({.kind = Likelihood::laplace, .adapter = AdapterKind::vid}),
            "adapter.0.weight adapter.2.weight adapter.4.weight scale_b ");
  EXPECT_EQ(GaussianLaplace({4, 4, 2}, {8, 8, 3}).describe(), "gaussian_laplace(mixture 2 -> 3)");
}

TEST(GaussianLaplace, Gradients) {
  const Tensor s = Tensor::from(random_values(2 * 4 * 4 * 3, 1, 1), {2, 4, 4, 3});
  const Tensor t = Tensor::from(random_values(2 * 2 * 2 * 5, 2, 2), {2, 2, 2, 5});
  GaussianLaplace technique({4, 4, 3}, {2, 2, 5}, {}, DType::f64);
  const Tensor code = technique.encode(t);
  const GradCheckResult result =
      grad_check([&](std::span<const Variable> v) { return technique.loss(v[0], code, 3); }, {s});
  EXPECT_LT(result.error, 1e-7) << result.where;
}

TEST(GaussianLaplace, TheModelsMayChangePlaces) {
  // Either model may be the source: an object is a function of roles, shapes and seed alone.
  const Tensor a = Tensor::from(random_values(15, 1, 1), {5, 3}).to(DType::f32);
  const Tensor b = Tensor::from(random_values(20, 1, 2), {5, 4}).to(DType::f32);
  const auto gradient = [](const Tensor& receiver, const Tensor& source) {
    GaussianLaplace technique({receiver.dim(1)}, {source.dim(1)}, {.seed = 3});
    const Variable tap(receiver, true);
    technique.loss(tap, technique.encode(source), 5).backward();
    return tap.grad();
  };
  const Tensor forward = gradient(a, b);
  gradient(b, a);  // leaves nothing behind
  EXPECT_TRUE(same_bytes(gradient(a, b), forward));
}

TEST(GaussianLaplace, Rejections) {
  GaussianLaplace technique({4, 2}, {4, 3});
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({2, 5, 3}));
      },
      "gaussian_laplace: source's tap has shape (2,5,3); expected samples of (4,3)");
  const Variable tap(Tensor::zeros({2, 4, 2}));
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({2, 3, 4}), 2);
      },
      "gaussian_laplace: code has shape (2,3,4)");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({2, 4, 3}), 0);
      },
      "gaussian_laplace: mean over 0 samples; expected > 0");
  expect_error(
      [] { GaussianLaplace({2}, {3}, {.mean = Tensor::zeros({3})}); },
      "gaussian_laplace: variance has shape (); expected (3), mean and variance both or neither");
}

}  // namespace
}  // namespace limbeck::testing
