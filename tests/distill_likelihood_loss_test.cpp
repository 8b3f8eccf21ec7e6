// SPDX-License-Identifier: Apache-2.0
// The likelihood loss on the tape.
#include <limbeck/distill/likelihood_loss.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class DistillLikelihoodLossTest : public DeviceTest {
 protected:
  LikelihoodScales scales(std::int64_t C, double value) const {
    const DType full = dtype() == DType::f64 ? DType::f64 : DType::f32;
    const auto one = [&] { return Variable(Tensor::full({C}, value, full, device()), true); };
    return {one(), one(), one()};
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillLikelihoodLossTest);

TEST_P(DistillLikelihoodLossTest, ScalesTheKernelsGradientsByTheUpstreamOne) {
  const std::int64_t R = 5, C = 7;
  const Tensor m = make(random_values(R * C, 1, 1), {R, C});
  const Tensor t = make(random_values(R * C, 1, 2), {R, C});
  const LikelihoodScales s = scales(C, 0.25);
  LikelihoodOutputs out{Tensor::zeros({R}, s.kappa.value().dtype(), device()),
                        make_like({R, C}),
                        {Tensor::empty_like(s.rho_v.value())},
                        {Tensor::empty_like(s.rho_b.value())},
                        {Tensor::empty_like(s.kappa.value())}};
  likelihood_loss_forward_with_grad(out, m, t, s.values(), {});
  const Variable mu(m, true);
  const Variable loss = likelihood_loss(mu, t, s, {});
  scale(loss, 3).backward();
  double total = 0;
  for (const double row : to_doubles(out.row_loss)) total += row / static_cast<double>(R);
  expect_close(loss.value(), {total}, 2e-6);
  const auto thrice = [](const Tensor& grad) {
    std::vector<double> v = to_doubles(grad);
    for (double& x : v) x *= 3;
    return v;
  };
  const double exact = dtype() == DType::f64 ? 1e-12 : 2e-6;  // scales are full precision
  expect_close(mu.grad(), thrice(out.dmu), tolerance());
  expect_close(s.rho_v.grad(), thrice(out.drho_v.value), exact);
  expect_close(s.rho_b.grad(), thrice(out.drho_b.value), exact);
  expect_close(s.kappa.grad(), thrice(out.dkappa.value), exact);
}

TEST_P(DistillLikelihoodLossTest, ATargetOfAnotherDtypeIsConverted) {
  const Tensor m = make(random_values(12, 1, 1), {4, 3});
  const Tensor t = Tensor::from(random_values(12, 1, 2), {4, 3}).to(DType::f16).to(device());
  const LikelihoodScales s = scales(3, 0);
  EXPECT_TRUE(same_bytes(likelihood_loss(Variable(m), t, s, {}).value(),
                         likelihood_loss(Variable(m), t.to(dtype()), s, {}).value()));
}

TEST(DistillLikelihoodLoss, Gradients) {
  // |r| has a corner at 0: no residual is within h of it.
  const Tensor mu = Tensor::from(random_values(15, 1, 1), {5, 3});
  const Tensor t = Tensor::from(random_values(15, 2, 2), {5, 3});
  const auto parameter = [](std::uint64_t seed) {
    return Tensor::from(random_values(3, 1, seed), {3});
  };
  const auto check = [&](Likelihood kind, const std::vector<Tensor>& inputs, auto scales_of) {
    const GradCheckResult result = grad_check(
        [&](std::span<const Variable> v) {
          return likelihood_loss(v[0], t, scales_of(v), {.kind = kind, .mean_over = 4});
        },
        inputs);
    EXPECT_LT(result.error, 1e-7) << likelihood_name(kind) << " " << result.where;
  };
  using Inputs = std::span<const Variable>;
  check(Likelihood::gauss, {mu, parameter(3)}, [](Inputs v) {
    return LikelihoodScales{v[1], {}, {}};
  });
  check(Likelihood::laplace, {mu, parameter(3)}, [](Inputs v) {
    return LikelihoodScales{{}, v[1], {}};
  });
  check(Likelihood::mixture, {mu, parameter(3), parameter(4), parameter(5)}, [](Inputs v) {
    return LikelihoodScales{v[1], v[2], v[3]};
  });
}

TEST(DistillLikelihoodLoss, MicroBatchesHaveTheBitsOfTheWhole) {
  const std::int64_t R = 12, C = 20, D = 6;
  const Tensor x = Tensor::from(random_values(R * D, 1, 1), {R, D}).to(DType::f32);
  const Tensor t = Tensor::from(random_values(R * C, 1, 2), {R, C}).to(DType::f32);
  std::vector<std::vector<Tensor>> found;
  for (const std::int64_t parts : {1, 3}) {
    const auto leaf = [](const Shape& shape, std::uint64_t seed) {
      return Variable(Tensor::from(random_values(shape.numel(), 1, seed), shape).to(DType::f32),
                      true);
    };
    const Variable w = leaf({C, D}, 3);
    const LikelihoodScales s{leaf({C}, 4), leaf({C}, 5), leaf({C}, 6)};
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t begin = p * R / parts, end = (p + 1) * R / parts;
      const Variable mu = linear(Variable(x.rows(begin, end)), w, Variable());
      scale(likelihood_loss(mu, t.rows(begin, end), s, {.mean_over = static_cast<double>(R)}), 0.3)
          .backward();
    }
    found.push_back({w.grad(), s.rho_v.grad(), s.rho_b.grad(), s.kappa.grad()});
  }
  for (std::size_t i = 0; i < found[0].size(); ++i)
    EXPECT_TRUE(same_bytes(found[0][i], found[1][i])) << i;
}

class LikelihoodParityTest : public DeviceTest {
 protected:
  Variable leaf(const Tensor& t) const { return Variable(t.to(dtype()).to(device()), true); }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(LikelihoodParityTest);

TEST_P(LikelihoodParityTest, AsTorchDistributions) {
  for (const Likelihood kind : {Likelihood::gauss, Likelihood::laplace, Likelihood::mixture}) {
    const Fixture fixture("likelihoods", likelihood_name(kind));
    const auto scale = [&](const char* name) {
      return fixture.has(name) ? leaf(fixture[name]) : Variable();
    };
    const Variable mu = leaf(fixture["mu"]);
    const LikelihoodScales s{scale("rho_v"), scale("rho_b"), scale("kappa")};
    const Variable loss = likelihood_loss(mu, leaf(fixture["t"]).value(), s, {.kind = kind});
    loss.backward();
    // As for layers: both round in orders of their own.
    expect_close(loss.value(), to_doubles(fixture["y"]), 1e-5, likelihood_name(kind));
    const auto compare = [&](const Variable& v, const char* gradient) {
      if (v.defined()) expect_close(v.grad(), to_doubles(fixture[gradient]), 1e-4, gradient);
    };
    compare(mu, "dmu");
    compare(s.rho_v, "drho_v");
    compare(s.rho_b, "drho_b");
    compare(s.kappa, "dkappa");
  }
}

}  // namespace
}  // namespace limbeck::testing
