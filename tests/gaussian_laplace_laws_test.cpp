// SPDX-License-Identifier: Apache-2.0
// What the likelihood head finds out when it is trained, and what becomes of it when the target may
// be trained too.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/distill/gaussian_laplace.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

double scale_of(double rho) { return std::log1p(std::exp(rho)) + kScaleFloor; }

Tensor normals(const Shape& shape, std::uint32_t layer) {
  Tensor t = Tensor::empty(shape, DType::f64);
  fill_normal(t, 1, {.seed = 5, .layer = layer, .purpose = RngPurpose::data});
  return t;
}

/// The least loss of the scales, for residuals t (R,C).
double fit(const LikelihoodScales& scales, Likelihood kind, const Tensor& t, int steps, double lr) {
  Adamw optimizer(scale_parameters(scales), {.parameters = {.weight_decay = 0}});
  const Variable mu(Tensor::zeros_like(t));
  double last = 0;
  for (int i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    const Variable loss = likelihood_loss(mu, t, scales, {.kind = kind});
    loss.backward();
    optimizer.step(lr * (1 - static_cast<double>(i) / steps));
    last = loss.value().item();
  }
  return last;
}

// Of frozen predictions the best v is the mean square of the residuals, the best b their mean size.
TEST(GaussianLaplaceLaws, ScalesConvergeToTheResiduals) {
  const std::int64_t R = 200, C = 3;
  Tensor t = normals({R, C}, 1);
  std::vector<double> squares(C), sizes(C);
  for (std::int64_t i = 0; i < R * C; ++i) {
    double& v = t.data<double>()[i];
    v *= 0.3 * static_cast<double>(i % C + 1);
    squares[static_cast<std::size_t>(i % C)] += v * v / static_cast<double>(R);
    sizes[static_cast<std::size_t>(i % C)] += std::abs(v) / static_cast<double>(R);
  }
  const LikelihoodScales gauss = initial_scales(Likelihood::gauss, C, DType::f64);
  const LikelihoodScales laplace = initial_scales(Likelihood::laplace, C, DType::f64);
  fit(gauss, Likelihood::gauss, t, 400, 0.1);
  fit(laplace, Likelihood::laplace, t, 400, 0.1);
  for (std::size_t c = 0; c < static_cast<std::size_t>(C); ++c) {
    EXPECT_NEAR(scale_of(to_doubles(gauss.rho_v.value())[c]), squares[c], 1e-4 * squares[c]);
    EXPECT_NEAR(scale_of(to_doubles(laplace.rho_b.value())[c]), sizes[c], 1e-4 * sizes[c]);
  }
}

// Of linear-Gaussian models with correlation 0.8 the ledger shows the mutual information,
// -1/2 log(1 - 0.8^2) = 0.5108 nats. The sample's own correlation is made exactly that.
TEST(GaussianLaplaceLaws, TheLedgerIsTheInformation) {
  const std::int64_t R = 128;
  Tensor s = normals({R, 1}, 1), noise = normals({R, 1}, 2);
  const auto standardise = [](std::vector<double> v) {
    double mean = 0, squares = 0;
    for (const double x : v) mean += x / static_cast<double>(v.size());
    for (double& x : v) x -= mean;
    for (const double x : v) squares += x * x / static_cast<double>(v.size());
    for (double& x : v) x /= std::sqrt(squares);
    return v;
  };
  const std::vector<double> x = standardise(to_doubles(s));
  std::vector<double> e = standardise(to_doubles(noise));
  double overlap = 0;
  for (std::size_t i = 0; i < x.size(); ++i) overlap += x[i] * e[i] / static_cast<double>(R);
  for (std::size_t i = 0; i < x.size(); ++i) e[i] -= overlap * x[i];
  e = standardise(e);
  std::vector<double> t(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) t[i] = 3 + 5 * (0.8 * x[i] + 0.6 * e[i]);
  GaussianLaplace technique({1}, {1},
                            {.kind = Likelihood::gauss,
                             .mean = Tensor::full({1}, 3, DType::f64),
                             .variance = Tensor::full({1}, 25, DType::f64)},
                            DType::f64);
  const Tensor code = technique.encode(Tensor::from(t, {R, 1}));
  const Variable tap(Tensor::from(x, {R, 1}));
  Adamw optimizer(technique.parameters(), {.parameters = {.weight_decay = 0}});
  for (int i = 0; i < 400; ++i) {
    optimizer.zero_grad();
    technique.loss(tap, code, static_cast<double>(R)).backward();
    optimizer.step(0.05 * (1 - i / 400.0));
  }
  const ChannelEntry entry = technique.ledger(code).at(0);
  EXPECT_NEAR(entry.gauss_nats, -0.5 * std::log(1 - 0.64), 1e-3);
  EXPECT_EQ(entry.gauss_share, 1);
  EXPECT_EQ(entry.laplace_nats, 0);
}

TEST(GaussianLaplaceLaws, LedgerByHand) {
  // Channel 0: variance 1, mean size about the median 1; v = 1/4, b = 1/2, pi = 1/2.
  const Tensor t = Tensor::from<double>({-1, 0, 1, 0, -1, 0, 1, 4}, {4, 2});
  const auto full = [](double value) { return Tensor::full({2}, value, DType::f64); };
  const auto rho = [](double scale) { return std::log(std::expm1(scale - 1e-3)); };
  const auto ledger = channel_ledger(t, {full(rho(0.25)), full(rho(0.5)), full(0)});
  EXPECT_NEAR(ledger[0].gauss_nats, std::log(2), 1e-12);
  EXPECT_NEAR(ledger[0].laplace_nats, std::log(2), 1e-12);
  EXPECT_EQ(ledger[0].gauss_share, 0.5);
  // Channel 1: variance 3, mean 1 about the median 0.
  EXPECT_NEAR(ledger[1].gauss_nats, 0.5 * std::log(12), 1e-12);
  EXPECT_NEAR(ledger[1].laplace_nats, std::log(2), 1e-12);
  EXPECT_EQ(channel_ledger(t, {{}, full(0), {}})[0].gauss_share, 0);
  expect_error(
      [&] {
        channel_ledger(t, {Tensor::zeros({3}), {}, {}});
      },
      "channel_ledger: rho_v has shape (3), t (4,2); expected (2)");
}

// 50000 draws each of a Gaussian, a Laplace (x1 x2 + x3 x4 of standard normals is one) and a
// Student-t with 3 degrees of freedom: the mixture tells the first two apart and is better than
// both of its parts for the third. Fewer draws leave pi noisy.
TEST(GaussianLaplaceLaws, TheMixtureIdentifiesTails) {
  const std::int64_t R = 50000, C = 3;
  const Tensor z = normals({R, 9}, 3);
  Tensor t = Tensor::empty({R, C});
  for (std::int64_t r = 0; r < R; ++r) {
    const double* x = z.data<double>() + 9 * r;
    const double chi = (x[6] * x[6] + x[7] * x[7] + x[8] * x[8]) / 3;
    t.data<float>()[C * r] = static_cast<float>(x[0]);
    t.data<float>()[C * r + 1] = static_cast<float>(x[1] * x[2] + x[3] * x[4]);
    t.data<float>()[C * r + 2] = static_cast<float>(x[5] / std::sqrt(chi));
  }
  const LikelihoodScales mixture = initial_scales(Likelihood::mixture, C);
  fit(mixture, Likelihood::mixture, t, 80, 0.4);
  const auto kappa = to_doubles(mixture.kappa.value());
  const auto share = [&](std::size_t c) { return 1 / (1 + std::exp(-kappa[c])); };
  EXPECT_GT(share(0), 0.97);
  EXPECT_LT(share(1), 0.1);
  EXPECT_GT(share(2), 0.1);
  EXPECT_LT(share(2), 0.9);
  // Per channel: the Student-t's loss under each head.
  Tensor student = Tensor::empty({R, 1});
  for (std::int64_t r = 0; r < R; ++r) student.data<float>()[r] = t.data<float>()[C * r + 2];
  const auto loss = [&](Likelihood kind) {
    return fit(initial_scales(kind, 1), kind, student, 40, 0.3);
  };
  const double mixed = loss(Likelihood::mixture);
  EXPECT_NEAR(mixed, 1.776, 0.02);
  EXPECT_GT(loss(Likelihood::laplace), mixed + 0.005);
  EXPECT_GT(loss(Likelihood::gauss), mixed + 0.05);
}

struct Collapse {
  double lowest = 1e9, scale = 0;
};

/// Trains a receiver on the code w t of a source, where w is a parameter of the source.
Collapse train(bool stop_gradient) {
  const std::int64_t R = 64;
  const Tensor s = normals({R, 1}, 1), noise = normals({R, 1}, 2);
  Tensor t = Tensor::empty({R, 1}, DType::f64);
  for (std::int64_t i = 0; i < R; ++i)
    t.data<double>()[i] = 0.6 * s.data<double>()[i] + 0.8 * noise.data<double>()[i];
  const auto leaf = [](double value) {
    return Variable(Tensor::full({1, 1}, value, DType::f64), true);
  };
  const Variable w = leaf(1), adapter = leaf(0.1);
  const LikelihoodScales scales = initial_scales(Likelihood::gauss, 1, DType::f64);
  std::vector<NamedParameter> all = scale_parameters(scales);
  all.push_back({.name = "adapter", .value = adapter});
  all.push_back({.name = "w", .value = w});
  Adamw optimizer(all, {.parameters = {.weight_decay = 0}});
  Collapse result;
  for (int i = 0; i < 600; ++i) {
    optimizer.zero_grad();
    const Variable code = linear(Variable(t), w, Variable());
    const Variable target = stop_gradient ? Variable(code.value()) : code;
    // The loss is one of t - mu alone, so a target of 0 lets the gradient into both.
    const Variable mu = sub(linear(Variable(s), adapter, Variable()), target);
    const Variable loss =
        likelihood_loss(mu, Tensor::zeros({R, 1}, DType::f64), scales, {Likelihood::gauss});
    loss.backward();
    optimizer.step(0.03);
    result.lowest = std::min(result.lowest, loss.value().item());
  }
  result.scale = w.value().item();
  return result;
}

// The best prediction of a given target leaves 0.64 of its variance, about: 1/2 log(2 pi e 0.64)
// = 1.2 nats, which is where training ends. When the target may be trained, it shrinks, and the
// loss falls as far as the floor of v lets it: 1/2 log(2 pi 0.001) = -2.5.
TEST(GaussianLaplaceLaws, OnlyAGradientIntoTheTargetRunsBelowEveryBound) {
  const Collapse stopped = train(true), free = train(false);
  EXPECT_NEAR(stopped.lowest, 1.2, 0.2);
  EXPECT_EQ(stopped.scale, 1);
  EXPECT_LT(free.lowest, -2);
  EXPECT_LT(std::abs(free.scale), 0.05);
}

}  // namespace
}  // namespace limbeck::testing
