// SPDX-License-Identifier: Apache-2.0
// Polynomial distillation: the kernel it truncates, its formula and what it does not depend on.
#include <limbeck/distill/polynomial.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/tests/feature_loss_test.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

using PolynomialTest = FeatureLossTest;
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(PolynomialTest);

// At gamma 1/2 and degree 1, K = (1 + g)/e. Receiver's vectors (2,0), (0,3): g = 1, 0; source's
// (1), (-4): g = 1, -1. Errors 0 and 1/e beside the diagonal, twice: loss 1/(2 e^2); the source's K
// is 2/e, 0: relative (2/e^2) / (8/e^2) = 1/4. dK/dg = 1/e, so that dloss/dg = (2/4)(1/e)/(2/e^2)/e
// = 1/4 for both elements: d/du_0 = u_1 / 2, across u_0 and over its length: (0, 1/4), (1/6, 0).
TEST_P(PolynomialTest, HandNumbers) {
  Polynomial technique({2}, {1}, {.gamma = 0.5, .degree = 1});
  const Tensor source = make({1, -4}, {2, 1});
  EXPECT_EQ(technique.code_shape(), (Shape{1}));
  expect_close(technique.encode(source), {1, -1}, tolerance());
  const Outcome r = compare(technique, make({2, 0, 0, 3}, {2, 2}), source);
  expect_close(r.loss.value(), {0.25}, tolerance());
  expect_close(r.gradient, {0, 0.25, 1.0 / 6, 0}, 2 * tolerance());
  EXPECT_FALSE(technique.per_sample());
  EXPECT_EQ(technique.describe(), "polynomial(congruence, gamma 0.5, degree 1, relative)");
}

TEST_P(PolynomialTest, IsTheFormulaInOrdinaryOps) {
  const Tensor s = random({6, 2, 5}, 1), t = random({6, 3}, 2);
  Polynomial technique({2, 5}, {3});
  const Outcome fused = compare(technique, s, t);
  const std::vector<double> a = gaussian_taylor_coefficients(0.4, 2);
  const auto kernel = [&](const Variable& rows) {
    const Variable u = unit_rows(rows), g = matmul(u, Trans::no, u, Trans::yes);
    const Variable one(Tensor::full({6, 6}, a[0], dtype(), device()));
    return add(one, add(scale(g, a[1]), scale(mul(g, g), a[2])));
  };
  const Variable tap(s.reshape({6, 10}), true);
  const Variable kt = kernel(Variable(t)), error = sub(kernel(tap), kt);
  const Variable mean_error = mean(mul(error, error));
  const double square = mean(mul(kt, kt)).value().item();
  const Variable loss = scale(mean_error, 1 / square);
  loss.backward();
  // Differences of similarities near 1 keep a tenth of their digits.
  expect_close(fused.loss.value(), to_doubles(loss.value()), 10 * tolerance());
  expect_close(fused.gradient, to_doubles(tap.grad()), 10 * tolerance());
}

TEST_P(PolynomialTest, NeitherLengthsNorRotationsMatter) {
  const Tensor s = make({1, 2, -1, 3, 0.5, 1}, {3, 2}), t = random({3, 4}, 2);
  // Turned by 90 degrees and lengthened row by row.
  const Tensor moved = make({-4, 2, -6, -2, -8, 4}, {3, 2});
  for (const bool relative : {true, false}) {
    Polynomial technique({2}, {4}, {.relative = relative});
    const Outcome a = compare(technique, s, t), b = compare(technique, moved, t);
    expect_close(b.loss.value(), to_doubles(a.loss.value()), 10 * tolerance());
  }
}

TEST_P(PolynomialTest, EqualSimilaritiesAreTheMinimum) {
  const Tensor t = random({5, 4}, 1);
  Polynomial technique({4}, {4}), preserving({4}, {4}, PolynomialOptions::tung_mori_2019());
  for (Polynomial* each : {&technique, &preserving}) {
    const Outcome r = compare(*each, t.clone(), t);
    expect_close(r.loss.value(), {0}, 0);
    expect_close(r.gradient, std::vector<double>(20, 0), 0);
  }
}

TEST_P(PolynomialTest, TheSourceGetsNoGradient) {
  Polynomial technique({3}, {4});
  const Variable source(random({5, 4}, 2), true), receiver(random({5, 3}, 1), true);
  technique.loss(receiver, technique.encode(source.value()), 5).backward();
  EXPECT_FALSE(source.grad().defined());
  EXPECT_TRUE(receiver.grad().defined());
}

TEST_P(PolynomialTest, AgreesWithThePapersInPyTorch) {
  const auto expect_case = [&](const std::string& name, const PolynomialOptions& options) {
    const Fixture fixture("relations", name);
    const auto enter = [&](const char* key) { return fixture[key].to(dtype()).to(device()); };
    Polynomial technique({5}, {7}, options);
    const Outcome r = compare(technique, enter("x0"), enter("t"));
    expect_close(r.loss.value(), to_doubles(fixture["y"]), 1e-5, name);
    expect_close(r.gradient, to_doubles(fixture["dx0"]), 1e-4, name);
  };
  expect_case("congruence", {.relative = false});
  expect_case("similarity_preserving", PolynomialOptions::tung_mori_2019());
}

TEST(Polynomial, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(24, 1, 1), {4, 2, 3});
  const Tensor t = Tensor::from(random_values(20, 1, 2), {4, 5});
  for (PolynomialOptions options :
       {PolynomialOptions{}, PolynomialOptions{.gamma = 1, .degree = 4, .relative = false},
        PolynomialOptions::tung_mori_2019()}) {
    Polynomial technique({2, 3}, {5}, options);
    const GradCheckResult result =
        grad_check([&](auto v) { return technique.loss(v[0], technique.encode(t), 4); }, {s});
    EXPECT_LT(result.error, 1e-6) << technique.describe() << ": " << result.where;
  }
}

// exp(-gamma |x - y|^2) = sum a_p (x.y)^p, and all a_p add up to 1.
TEST(Polynomial, TruncatesTheGaussianKernel) {
  EXPECT_EQ(gaussian_taylor_coefficients(0.5, 1),
            (std::vector<double>{std::exp(-1), std::exp(-1)}));
  for (const double gamma : {0.1, 0.4, 1.0}) {
    double before = 1;
    for (int degree = 1; degree <= kMaxGramDegree; ++degree) {
      const std::vector<double> a = gaussian_taylor_coefficients(gamma, degree);
      double tail = 1, worst = 0;
      for (const double a_p : a) tail -= a_p;
      for (int i = -16; i <= 16; ++i) {
        const double g = i * 0x1p-4;
        double k = 0;
        for (std::size_t p = a.size(); p-- > 0;) k = k * g + a[p];
        worst = std::max(worst, std::abs(std::exp(-2 * gamma * (1 - g)) - k));
      }
      EXPECT_NEAR(worst, tail, 1e-15) << gamma << " " << degree;  // attained at g = 1
      // The order of the first term that is left out.
      const double next = a.back() * 2 * gamma / (degree + 1);
      EXPECT_GT(tail, next * (1 - 1e-9) - 1e-15);
      EXPECT_LT(tail, next * std::exp(2 * gamma));
      EXPECT_LT(tail, before);
      before = tail;
    }
  }
  double left_out = 1;
  for (const double a : gaussian_taylor_coefficients(0.4, 2)) left_out -= a;
  EXPECT_NEAR(left_out, 0.047, 0.0005);
}

TEST(Polynomial, Rejections) {
  const auto make = [](const PolynomialOptions& options) { Polynomial({2}, {2}, options); };
  expect_error([&] { make({.gamma = 0}); }, "polynomial: gamma is 0; expected > 0");
  expect_error([&] { make({.degree = 9}); }, "polynomial: degree is 9; expected 1 to 8");
  Polynomial technique({2}, {3});
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({4, 2}));
      },
      "polynomial: source's tap has shape (4,2); expected samples of (3)");
  const Variable tap(Tensor::zeros({4, 2}));
  expect_error(
      [&] {
        technique.loss(Variable(Tensor::zeros({4, 3})), Tensor::zeros({4, 3}), 4);
      },
      "polynomial: receiver's tap has shape (4,3); expected samples of (2)");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({3, 3}), 4);
      },
      "polynomial: code has shape (3,3), the receiver's tap (4,2); expected as many codes");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({4, 3}, DType::f64), 4);
      },
      "polynomial: code is f64 on cpu, the receiver's tap f32 on cpu; expected equal ones");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({4, 3}), 8);
      },
      "polynomial: mean over 8 samples of a batch of 4; expected all of them");
}

}  // namespace
}  // namespace limbeck::testing
