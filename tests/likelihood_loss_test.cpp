// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/likelihood_loss.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr Likelihood kKinds[] = {Likelihood::gauss, Likelihood::laplace, Likelihood::mixture};

using Values = std::vector<double>;

struct Expected {
  Values row_loss, dmu, drho_v, drho_b, dkappa;
};

double softplus(double x) { return std::log1p(std::exp(x)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The formulas in double, densities and all.
Expected composition(Likelihood kind, const Values& mu, const Values& t, const Values& rho_v,
                     const Values& rho_b, const Values& kappa, double rows, double upstream) {
  const std::size_t C = rho_v.size(), R = mu.size() / C;
  Expected e{Values(R), Values(R * C), Values(C), Values(C), Values(C)};
  const double k = upstream / (static_cast<double>(C) * rows);
  for (std::size_t i = 0; i < R * C; ++i) {
    const std::size_t c = i % C;
    const double r = t[i] - mu[i], a = std::abs(r);
    const double v = softplus(rho_v[c]) + 1e-3, b = softplus(rho_b[c]) + 1e-3;
    const double pi =
        kind == Likelihood::mixture ? sigmoid(kappa[c]) : (kind == Likelihood::gauss ? 1.0 : 0.0);
    const double normal = pi * std::exp(-r * r / (2 * v)) / std::sqrt(2 * std::acos(-1.0) * v);
    const double laplace = (1 - pi) * std::exp(-a / b) / (2 * b);
    const double w = normal / (normal + laplace);
    e.row_loss[i / C] -= std::log(normal + laplace) / static_cast<double>(C);
    e.dmu[i] = -k * (w * r / v + (1 - w) * ((r > 0) - (r < 0)) / b);
    e.drho_v[c] -= k * w * (r * r / (2 * v * v) - 1 / (2 * v)) * sigmoid(rho_v[c]);
    e.drho_b[c] -= k * (1 - w) * (a / (b * b) - 1 / b) * sigmoid(rho_b[c]);
    e.dkappa[c] -= k * (w - pi);
  }
  return e;
}

class LikelihoodLossTest : public DeviceTest {
 protected:
  DType compute() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  Tensor make_parameter(const Values& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())})
        .to(compute())
        .to(device());
  }
  LikelihoodParameters parameters(Likelihood kind, const Values& rho_v, const Values& rho_b,
                                  const Values& kappa) const {
    LikelihoodParameters p;
    if (kind != Likelihood::laplace) p.rho_v = make_parameter(rho_v);
    if (kind != Likelihood::gauss) p.rho_b = make_parameter(rho_b);
    if (kind == Likelihood::mixture) p.kappa = make_parameter(kappa);
    return p;
  }
  /// All outputs that the kind has.
  LikelihoodOutputs outputs(const LikelihoodParameters& p, const Tensor& mu) const {
    const auto like = [](const Tensor& t) { return t.defined() ? Tensor::empty_like(t) : t; };
    return {Tensor::full({mu.dim(0)}, 777, compute(), device()),
            make_like(mu.shape()),
            {like(p.rho_v)},
            {like(p.rho_b)},
            {like(p.kappa)}};
  }
  LikelihoodOutputs run(const Tensor& mu, const Tensor& t, const LikelihoodParameters& p,
                        const LikelihoodOptions& options, const Tensor& upstream = {}) const {
    LikelihoodOutputs out = outputs(p, mu);
    likelihood_loss_forward_with_grad(out, mu, t, p, options, upstream);
    return out;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(LikelihoodLossTest);

// v = b = 2, pi = 1/2; residuals 2 and 0. log N = -log(8 pi... )/2: -1/2 log 4 pi - r^2/4,
// log L = -log 4 - |r|/2.
TEST_P(LikelihoodLossTest, HandNumbers) {
  const double rho = std::log(std::expm1(2 - 1e-3)), pi = std::acos(-1.0);
  const Tensor mu = make({1, 5}, {2, 1}), t = make({3, 5}, {2, 1});
  const double normal = -0.5 * std::log(4 * pi), laplace = -std::log(4.0);
  const auto loss_of = [&](Likelihood kind) {
    return run(mu, t, parameters(kind, {rho}, {rho}, {0}), {.kind = kind});
  };
  const LikelihoodOutputs gauss = loss_of(Likelihood::gauss);
  expect_close(gauss.row_loss, {1 - normal, -normal}, tolerance());
  expect_close(gauss.dmu, {-0.5, 0}, tolerance());  // a mean over two rows
  // r^2/v - 1 is 1 and -1.
  EXPECT_NEAR(to_doubles(gauss.drho_v.value)[0], 0, 1e-6);
  const LikelihoodOutputs heavy = loss_of(Likelihood::laplace);
  expect_close(heavy.row_loss, {1 - laplace, -laplace}, tolerance());
  expect_close(heavy.dmu, {-0.25, 0}, tolerance());  // sign(0) = 0
  const LikelihoodOutputs both = loss_of(Likelihood::mixture);
  const auto mixed = [&](double apart) {
    return -std::log(0.5 * std::exp(normal - apart) + 0.5 * std::exp(laplace - apart));
  };
  expect_close(both.row_loss, {mixed(1), mixed(0)}, tolerance());
}

TEST_P(LikelihoodLossTest, MatchesComposition) {
  struct Case {
    std::int64_t R, C;
  };
  // Columns: one, a block of the GPU and beyond, several CPU tasks; rows: several slabs.
  for (const auto& [R, C] : {Case{1, 1}, Case{3, 33}, Case{5, 300}, Case{300, 5}})
    for (const Likelihood kind : kKinds) {
      const Tensor mu = make(random_values(R * C, 2, 1), {R, C});
      const Tensor t = make(random_values(R * C, 3, 2), {R, C});
      const Values rho_v = random_values(C, 2, 3), rho_b = random_values(C, 2, 4);
      const Values kappa = random_values(C, 3, 5);
      const LikelihoodParameters p = parameters(kind, rho_v, rho_b, kappa);
      const LikelihoodOutputs out =
          run(mu, t, p, {.kind = kind, .mean_over = 7}, make_parameter({0.25}));
      const Expected e =
          composition(kind, to_doubles(mu), to_doubles(t), rho_v, rho_b, kappa, 7, 0.25);
      const std::string what = detail::concat("R ", R, " C ", C, " ", likelihood_name(kind));
      // Sums of up to 300 terms of either sign, in f32 even for 16-bit features.
      const double exact = dtype() == DType::f64 ? 1e-12 : 1e-5;
      expect_close(out.row_loss, e.row_loss, exact, what);
      expect_close(out.dmu, e.dmu, std::max(exact, tolerance()), what);
      if (p.rho_v.defined()) expect_close(out.drho_v.value, e.drho_v, exact, what);
      if (p.rho_b.defined()) expect_close(out.drho_b.value, e.drho_b, exact, what);
      if (p.kappa.defined()) expect_close(out.dkappa.value, e.dkappa, exact, what);
    }
}

TEST_P(LikelihoodLossTest, AFarKappaLeavesThePureHeads) {
  const std::int64_t R = 6, C = 40;
  const Tensor mu = make(random_values(R * C, 2, 1), {R, C});
  const Tensor t = make(random_values(R * C, 2, 2), {R, C});
  const Values rho_v = random_values(C, 2, 3), rho_b = random_values(C, 2, 4);
  for (const Likelihood kind : {Likelihood::gauss, Likelihood::laplace}) {
    const double kappa = kind == Likelihood::gauss ? 60 : -60;
    const auto pure = run(mu, t, parameters(kind, rho_v, rho_b, {}), {.kind = kind});
    const auto mixed =
        run(mu, t, parameters(Likelihood::mixture, rho_v, rho_b, Values(C, kappa)), {});
    // The other density is e^-60 of it: nothing in f32, and one ulp in f64.
    const double ulps = dtype() == DType::f64 ? 1e-15 : 3e-7;
    expect_close(mixed.row_loss, to_doubles(pure.row_loss), ulps);
    expect_close(mixed.dmu, to_doubles(pure.dmu), std::max(ulps, tolerance() / 4));
    const auto& [grad, same] = kind == Likelihood::gauss
                                   ? std::pair(mixed.drho_v.value, pure.drho_v.value)
                                   : std::pair(mixed.drho_b.value, pure.drho_b.value);
    expect_close(grad, to_doubles(same), 4 * ulps);
  }
}

TEST_P(LikelihoodLossTest, AnotherUnitShiftsTheLossByItsLogarithm) {
  // Features, v and b in a unit 8 times as small; powers of two, so that only logarithms round.
  const std::int64_t R = 5, C = 20;
  const double a = 8;
  const Values m = random_values(R * C, 1, 1), x = random_values(R * C, 1, 2);
  const Tensor mu = make(m, {R, C}), t = make(x, {R, C});
  Tensor mu_a = make_like({R, C}), t_a = make_like({R, C});
  const auto times = [&](const Tensor& from, double factor) {
    Values v = to_doubles(from);
    for (double& value : v) value *= factor;
    return make(v, from.shape());
  };
  mu_a = times(mu, a);
  t_a = times(t, a);
  const auto rho = [](double scale) { return std::log(std::expm1(scale - 1e-3)); };
  for (const Likelihood kind : kKinds) {
    const auto loss = to_doubles(
        run(mu, t, parameters(kind, Values(C, rho(0.5)), Values(C, rho(0.25)), Values(C, 0.3)),
            {.kind = kind})
            .row_loss);
    auto expected = loss;
    for (double& l : expected) l += std::log(a);
    expect_close(
        run(mu_a, t_a,
            parameters(kind, Values(C, rho(0.5 * a * a)), Values(C, rho(0.25 * a)), Values(C, 0.3)),
            {.kind = kind})
            .row_loss,
        expected, dtype() == DType::f64 ? 1e-12 : 2e-6);
  }
}

TEST_P(LikelihoodLossTest, LargeResidualsStayFinite) {
  const Tensor mu = make({0, 0, 0}, {3, 1}), t = make({6e4, -6e4, 0}, {3, 1});
  for (const Likelihood kind : kKinds) {
    const auto out = run(mu, t, parameters(kind, {5}, {5}, {0}), {.kind = kind});
    for (const Tensor& result : {out.row_loss, out.dmu})
      for (const double v : to_doubles(result)) EXPECT_TRUE(std::isfinite(v));
    // Far out the mixture is its heavier tail.
    if (kind != Likelihood::mixture) continue;
    const double b = std::log1p(std::exp(5)) + 1e-3;
    expect_close(out.dmu, {-1 / b / 3, 1 / b / 3, 0}, tolerance());
  }
}

TEST_P(LikelihoodLossTest, GradientsAddWhereAskedTo) {
  const std::int64_t R = 9, C = 20;
  const Tensor mu = make(random_values(R * C, 2, 1), {R, C});
  const Tensor t = make(random_values(R * C, 2, 2), {R, C});
  const Values zero(static_cast<std::size_t>(C));
  const LikelihoodParameters p = parameters(Likelihood::mixture, zero, zero, zero);
  const LikelihoodOutputs once = run(mu, t, p, {});
  LikelihoodOutputs twice = run(mu, t, p, {});
  for (LikelihoodParameterGrad* g : {&twice.drho_v, &twice.drho_b, &twice.dkappa})
    g->out = Out::add;
  likelihood_loss_forward_with_grad(twice, mu, t, p, {});
  const auto doubled = [](const Tensor& grad) {
    Values v = to_doubles(grad);
    for (double& x : v) x *= 2;
    return v;
  };
  const double exact = dtype() == DType::f64 ? 1e-12 : 2e-6;
  expect_close(twice.drho_v.value, doubled(once.drho_v.value), exact);
  expect_close(twice.drho_b.value, doubled(once.drho_b.value), exact);
  expect_close(twice.dkappa.value, doubled(once.dkappa.value), exact);
}

TEST_P(LikelihoodLossTest, OutputsMayBeLeftOutOrReplaceTheInput) {
  const std::int64_t R = 6, C = 50;
  for (const Likelihood kind : kKinds) {
    Tensor mu = make(random_values(R * C, 2, 1), {R, C});
    const Tensor t = make(random_values(R * C, 2, 2), {R, C});
    const LikelihoodParameters p = parameters(kind, random_values(C), random_values(C), Values(C));
    const LikelihoodOutputs all = run(mu, t, p, {.kind = kind});
    LikelihoodOutputs loss, scales, in_place;
    loss.row_loss = Tensor::full({R}, 777, compute(), device());
    likelihood_loss_forward_with_grad(loss, mu, t, p, {.kind = kind});
    EXPECT_TRUE(same_bytes(loss.row_loss, all.row_loss));
    LikelihoodParameterGrad& wanted = kind == Likelihood::laplace ? scales.drho_b : scales.drho_v;
    wanted.value = make_parameter(Values(C, 777));
    likelihood_loss_forward_with_grad(scales, mu, t, p, {.kind = kind});
    EXPECT_TRUE(same_bytes(wanted.value,
                           kind == Likelihood::laplace ? all.drho_b.value : all.drho_v.value));
    in_place.dmu = mu;
    likelihood_loss_forward_with_grad(in_place, mu, t, p, {.kind = kind});
    EXPECT_TRUE(same_bytes(mu, all.dmu));
  }
}

TEST_P(LikelihoodLossTest, NoRows) {
  const LikelihoodParameters p = parameters(Likelihood::mixture, {0, 0}, {0, 0}, {0, 0});
  expect_no_launch();
  const LikelihoodOutputs out = run(make({}, {0, 2}), make({}, {0, 2}), p, {});
  EXPECT_EQ(to_doubles(out.dkappa.value), (Values{0, 0}));
}

TEST_P(LikelihoodLossTest, NothingAskedForTakesNothing) {
  expect_no_launch();
  const LikelihoodParameters p = parameters(Likelihood::mixture, {0, 0}, {0, 0}, {0, 0});
  LikelihoodOutputs none;
  likelihood_loss_forward_with_grad(none, make({1, 2}, {1, 2}), make({3, 4}, {1, 2}), p, {});
  EXPECT_FALSE(none.dmu.defined());
}

TEST(LikelihoodLoss, RowBlocksAddUpToTheBitsOfTheWhole) {
  const std::int64_t R = 40, C = 70;
  const Tensor mu = Tensor::from(random_values(R * C, 2, 1), {R, C}).to(DType::f32);
  const Tensor t = Tensor::from(random_values(R * C, 2, 2), {R, C}).to(DType::f32);
  const Tensor rho = Tensor::from(random_values(C), {C}).to(DType::f32);
  const auto fresh = [&](std::int64_t rows, const LikelihoodOutputs& grads, Out out) {
    return LikelihoodOutputs{Tensor::empty({rows}),
                             Tensor::empty({rows, C}),
                             {grads.drho_v.value, out},
                             {grads.drho_b.value, out},
                             {grads.dkappa.value, out}};
  };
  const auto grads = [&] {
    return LikelihoodOutputs{
        {}, {}, {Tensor::empty({C})}, {Tensor::empty({C})}, {Tensor::empty({C})}};
  };
  LikelihoodOutputs whole = fresh(R, grads(), Out::write);
  const LikelihoodOptions options{.mean_over = static_cast<double>(R)};
  likelihood_loss_forward_with_grad(whole, mu, t, {rho, rho, rho}, options);
  const LikelihoodOutputs parts = grads();
  for (const auto& [begin, end] : {std::pair{0, 3}, {3, 32}, {32, 40}}) {
    LikelihoodOutputs part = fresh(end - begin, parts, begin == 0 ? Out::write : Out::add);
    likelihood_loss_forward_with_grad(part, mu.rows(begin, end), t.rows(begin, end),
                                      {rho, rho, rho}, options);
    EXPECT_TRUE(same_bytes(part.row_loss, whole.row_loss.rows(begin, end)));
    EXPECT_TRUE(same_bytes(part.dmu, whole.dmu.rows(begin, end)));
  }
  EXPECT_TRUE(same_bytes(parts.drho_v.value, whole.drho_v.value));
  EXPECT_TRUE(same_bytes(parts.drho_b.value, whole.drho_b.value));
  EXPECT_TRUE(same_bytes(parts.dkappa.value, whole.dkappa.value));
}

TEST(LikelihoodLoss, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t R = 33, C = 600;
  const Tensor mu = Tensor::from(random_values(R * C, 2, 1), {R, C}).to(DType::f32);
  const Tensor t = Tensor::from(random_values(R * C, 2, 2), {R, C}).to(DType::f32);
  const Tensor rho = Tensor::from(random_values(C), {C}).to(DType::f32);
  expect_same_bits([&] {
    std::vector<Tensor> results;
    for (const Likelihood kind : kKinds) {
      const bool gauss = kind != Likelihood::laplace, laplace = kind != Likelihood::gauss;
      const auto one = [&](bool wanted) { return wanted ? Tensor::empty({C}) : Tensor(); };
      const auto given = [&](bool wanted) { return wanted ? rho : Tensor(); };
      LikelihoodOutputs out{Tensor::empty({R}),
                            Tensor::empty({R, C}),
                            {one(gauss)},
                            {one(laplace)},
                            {one(gauss && laplace)}};
      likelihood_loss_forward_with_grad(
          out, mu, t, {given(gauss), given(laplace), given(gauss && laplace)}, {.kind = kind});
      for (const Tensor& result :
           {out.row_loss, out.dmu, out.drho_v.value, out.drho_b.value, out.dkappa.value})
        if (result.defined()) results.push_back(result);
    }
    return results;
  });
}

TEST(LikelihoodLoss, Rejections) {
  const Tensor x = Tensor::zeros({2, 3}), scale = Tensor::zeros({3});
  const LikelihoodParameters good{scale, scale, scale};
  LikelihoodOutputs out{Tensor::zeros({2}), {}, {}, {}, {}};
  const auto rejects = [&](const Tensor& mu, const Tensor& t, const LikelihoodParameters& p,
                           const LikelihoodOptions& o, const std::string& message) {
    expect_error([&] { likelihood_loss_forward_with_grad(out, mu, t, p, o); },
                 "likelihood_loss: " + message);
  };
  rejects(Tensor::zeros({3}), x, good, {}, "mu has shape (3); expected (N,V)");
  rejects(x, Tensor::zeros({2, 4}), good, {}, "t is f32(2,4) on cpu, mu f32(2,3) on cpu");
  rejects(x, x, {scale, scale, {}}, {}, "kappa is undefined for mixture; expected it defined");
  rejects(x, x, good, {.kind = Likelihood::gauss}, "rho_b is defined for gauss");
  rejects(x, x, {Tensor::zeros({4}), scale, scale}, {}, "rho_v is f32(4) on cpu; expected f32(3)");
  rejects(x, x, good, {.mean_over = -1}, "mean_over is -1; expected >= 0");
  out.dkappa.value = scale;
  rejects(x, x, {scale, {}, {}}, {.kind = Likelihood::gauss},
          "gradient of kappa asked for, which gauss lacks");
  out = {Tensor::zeros({3}), {}, {}, {}, {}};
  rejects(x, x, good, {}, "row_loss is f32(3) on cpu; expected f32(2) on cpu");
  out = {{}, Tensor::zeros({2, 4}), {}, {}, {}};
  rejects(x, x, good, {}, "dmu is f32(2,4) on cpu, mu f32(2,3) on cpu; expected equal ones");
}

}  // namespace
}  // namespace limbeck::testing
