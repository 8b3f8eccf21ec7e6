// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/math.h>

#include <bit>
#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// 2^20 floats of [low, high]: half evenly spaced, half evenly over the bit patterns of all floats.
std::vector<float> samples(float low, float high) {
  std::vector<float> x;
  for (int i = 0; i < 1 << 19; ++i)
    x.push_back(static_cast<float>(low + (static_cast<double>(high) - low) * i / (1 << 19)));
  for (std::uint32_t i = 0; i < 1u << 19; ++i) {
    const float value = std::bit_cast<float>(i * 8191u);
    if (value >= low && value <= high) x.push_back(value);
  }
  return x;
}

// fn(x_i) by the vectorised loop.
template <class Fn>
std::vector<float> vectorised(const std::vector<float>& x, Fn fn) {
  std::vector<float> y(x.size());
  const float* in = x.data();
  float* out = y.data();
  const int n = static_cast<int>(x.size());
  simd([=](auto) {
#pragma omp simd
    for (int i = 0; i < n; ++i) out[i] = fn(in[i]);
  });
  return y;
}

double ulp_of(double x) {
  int exponent;
  std::frexp(std::max(std::abs(x), 0x1p-126), &exponent);
  return std::ldexp(1.0, exponent - 24);
}

// Worst error of fn against the double function, in ulp of the result (of 1 when `absolute`).
template <class Fn>
double worst_ulp(Fn fn, float low, float high, bool absolute = false) {
  const auto x = samples(low, high);
  const auto y = vectorised(x, [fn](float v) { return fn(v); });
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = fn(static_cast<double>(x[i]));
    const double error = std::abs(y[i] - expected) / (absolute ? 0x1p-24 : ulp_of(expected));
    worst = !(error <= worst) ? error : worst;  // a NaN counts as worst
  }
  return worst;
}

#define LIMBECK_FN(name) [](auto value) { return math::name(value); }

TEST(Math, ExponentialsOfTheLowestNumberAreTheirLimits) {
  for (const float x : {-1e4f, -kInf, std::numeric_limits<float>::lowest()}) {
    EXPECT_EQ(math::exp_of_moderate(x), 0) << x;
    EXPECT_EQ(math::quick_expm1(x), -1) << x;
    EXPECT_NEAR(math::quick_exp(x), 0, 2e-38) << x;
  }
}

TEST(Math, StaysWithinItsUlp) {
  EXPECT_LE(worst_ulp(LIMBECK_FN(exp), -87.3f, 88.72f), 1.1);
  EXPECT_LE(worst_ulp(LIMBECK_FN(expm1), -100.0f, 88.72f), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(exp_of_moderate), -87.3f, 88.7f), 1.1);
  EXPECT_LE(worst_ulp(LIMBECK_FN(quick_exp), -1.0f, 1.0f), 1.2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(quick_exp), -86.0f, 88.0f), 6);
  EXPECT_LE(worst_ulp(LIMBECK_FN(quick_expm1), -100.0f, 1.0f), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(quick_expm1), -100.0f, 80.0f), 6);
  EXPECT_LE(worst_ulp(LIMBECK_FN(log), 0x1p-149f, 3.4e38f), 1);
  EXPECT_LE(worst_ulp(LIMBECK_FN(log1p), -0.9999999f, 3.4e38f), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(log1p), -0.9f, 3.0f), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(tanh), -12.0f, 12.0f), 2.5);
  EXPECT_LE(worst_ulp(LIMBECK_FN(erf), -6.0f, 6.0f), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(sqrt), 0.0f, 3.4e38f), 0.5);
  EXPECT_LE(worst_ulp(LIMBECK_FN(sin_2pi), 0.0f, 0.99999994f, true), 2);
  EXPECT_LE(worst_ulp(LIMBECK_FN(cos_2pi), 0.0f, 0.99999994f, true), 2);
}

TEST(Math, SpecialValues) {
  EXPECT_EQ(math::exp(0.0f), 1);
  EXPECT_EQ(math::exp(-kInf), 0);
  EXPECT_EQ(math::exp(-1000.0f), 0);
  EXPECT_EQ(math::exp(kInf), kInf);
  EXPECT_EQ(math::exp(89.0f), kInf);
  EXPECT_EQ(math::expm1(0.0f), 0);
  EXPECT_EQ(math::expm1(-kInf), -1);
  EXPECT_EQ(math::expm1(kInf), kInf);
  EXPECT_EQ(math::log(0.0f), -kInf);
  EXPECT_EQ(math::log(1.0f), 0);
  EXPECT_EQ(math::log(kInf), kInf);
  EXPECT_TRUE(std::isnan(math::log(-1.0f)));
  EXPECT_EQ(math::log1p(0.0f), 0);
  EXPECT_EQ(math::log1p(-1.0f), -kInf);
  EXPECT_EQ(math::log1p(kInf), kInf);
  EXPECT_TRUE(std::isnan(math::log1p(-1.1f)));
  EXPECT_EQ(math::tanh(kInf), 1);
  EXPECT_EQ(math::tanh(-kInf), -1);
  EXPECT_TRUE(std::signbit(math::tanh(-0.0f)));
  EXPECT_EQ(math::erf(kInf), 1);
  EXPECT_EQ(math::erf(-kInf), -1);
  EXPECT_EQ(math::sin_2pi(0.0f), 0);
  EXPECT_EQ(math::sin_2pi(0.25f), 1);
  EXPECT_EQ(math::cos_2pi(0.5f), -1);
}

TEST(Math, NanStays) {
  // Any NaN, also one whose payload fills the bits that carry the exponent of exp.
  for (float nan :
       {kNan, -kNan, std::bit_cast<float>(0x7fffffffu), std::bit_cast<float>(0x7fc000ffu)})
    for (float y : {math::exp(nan), math::expm1(nan), math::log(nan), math::log1p(nan),
                    math::tanh(nan), math::erf(nan), math::sqrt(nan)})
      EXPECT_TRUE(std::isnan(y));
}

TEST(Math, RemainderOfExpHasNoCancellation) {
  for (double x : {-0.34, -0.1, -1e-3, -1e-6, 1e-6, 1e-3, 0.1, 0.34}) {
    // 1/2 + x/6 + ... to x^11/13!, whose next term is below 1e-16.
    double expected = 0, term = 0.5;
    for (int k = 3; k < 15; ++k) {
      expected += term;
      term *= x / k;
    }
    EXPECT_NEAR(math::exp_remainder(x), expected, 1e-15);
    EXPECT_NEAR(math::exp_remainder(static_cast<float>(x)), expected,
                2e-7);  // fitted for x^2 times it
  }
}

TEST(Math, SameBitsForEveryInstructionSet) {
  const auto x = samples(-100, 100);
  expect_same_bits([&] {
    std::vector<Tensor> results;
    const auto push = [&](const std::vector<float>& y) {
      results.push_back(Tensor::from(y, {static_cast<std::int64_t>(y.size())}));
    };
    push(vectorised(x, LIMBECK_FN(exp)));
    push(vectorised(x, LIMBECK_FN(expm1)));
    push(vectorised(x, [](float v) { return math::log(v * v); }));
    push(vectorised(x, [](float v) { return math::log1p(v * v); }));
    push(vectorised(x, LIMBECK_FN(tanh)));
    push(vectorised(x, LIMBECK_FN(erf)));
    push(vectorised(x, [](float v) { return math::sin_2pi(v * v * 1e-4f); }));
    push(vectorised(x, [](float v) { return math::cos_2pi(v * v * 1e-4f); }));
    return results;
  });
}

}  // namespace
}  // namespace limbeck::testing
