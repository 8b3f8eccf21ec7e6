// SPDX-License-Identifier: Apache-2.0
// Elementary functions that give the same bits on every instruction set, thread and device.
// The float versions are own polynomials (least maximum error fits) with explicit fma and no
// branches, so a loop over them vectorises inside simd(). The double versions call the standard
// library: they serve gradient checks, and make no promise of equal bits.
#pragma once

#include <cmath>
#include <cstdint>

#include <limbeck/core/host_device.h>

namespace limbeck::math {

/// a*b + c, rounded once.
LIMBECK_HD float fma(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
LIMBECK_HD double fma(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

/// Correctly rounded square root.
LIMBECK_HD float sqrt(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}
LIMBECK_HD double sqrt(double x) { return std::sqrt(x); }

/// (e^x - 1 - x) / x^2 for |x| <= 0.3475, without cancellation.
LIMBECK_HD float exp_remainder(float x) {
  float q = 0x1.6b6b08p-10f;
  q = fma(q, x, 0x1.1227fep-7f);
  q = fma(q, x, 0x1.55571ep-5f);
  q = fma(q, x, 0x1.5554b0p-3f);
  return fma(q, x, 0x1.fffffep-2f);
}
LIMBECK_HD double exp_remainder(double x) {
  double q = 1;  // Taylor: 1/2! + x/3! + ... to x^12/14!
  for (int k = 14; k > 2; --k) q = fma(q, x / k, 1.0);
  return 0.5 * q;
}

namespace detail {

inline constexpr float kInf = __builtin_huge_valf();
inline constexpr float kNan = __builtin_nanf("");
inline constexpr float kLn2High = 0x1.62e400p-1f;  // 15 bits: n * kLn2High is exact
inline constexpr float kLn2Low = 0x1.7f7d1cp-20f;  // ln 2 - kLn2High

LIMBECK_HD float as_float(std::int32_t bits) { return __builtin_bit_cast(float, bits); }
LIMBECK_HD std::int32_t as_int(float x) { return __builtin_bit_cast(std::int32_t, x); }

LIMBECK_HD float abs(float x) { return as_float(as_int(x) & 0x7fffffff); }
LIMBECK_HD float with_sign_of(float magnitude, float sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & ~0x7fffffff));
}

/// x = n ln 2 + r with |r| <= 0.3475; expm1 = e^r - 1.
struct ReducedExp {
  std::int32_t n;
  float expm1;
};
LIMBECK_HD ReducedExp reduced_exp(float x) {
  const float magic = 0x1.8p23f;  // adding it rounds to an integer, kept in the low bits
  const float t = fma(x, 0x1.715476p+0f, magic);
  const float n = t - magic;
  const float r = fma(n, -kLn2Low, fma(n, -kLn2High, x));
  // As unsigned: for a very large x the difference is meaningless, and may overflow.
  const std::uint32_t steps =
      static_cast<std::uint32_t>(as_int(t)) - static_cast<std::uint32_t>(as_int(magic));
  return {static_cast<std::int32_t>(steps), fma(r * r, exp_remainder(r), r)};
}

/// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1].
LIMBECK_HD float log1p_minus(float f) {
  float p = -0x1.38bb22p-4f;
  p = fma(p, f, 0x1.0561b8p-3f);
  p = fma(p, f, -0x1.0d85f6p-3f);
  p = fma(p, f, 0x1.22d8aep-3f);
  p = fma(p, f, -0x1.547216p-3f);
  p = fma(p, f, 0x1.99a022p-3f);
  p = fma(p, f, -0x1.000228p-2f);
  p = fma(p, f, 0x1.555554p-2f);
  return f * f * fma(p, f, -0.5f);
}

/// k ln 2 + log(1 + f).
LIMBECK_HD float log_from_parts(std::int32_t k, float f) {
  const float n = static_cast<float>(k);
  return fma(n, kLn2High, f + fma(n, kLn2Low, log1p_minus(f)));
}

/// The k for which a normal x * 2^-k is in [sqrt(1/2), sqrt(2)); means nothing for a negative x.
LIMBECK_HD std::int32_t nearest_exponent(float x) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(as_int(x)) - 0x3f3504f3u) >> 23;
}

/// u = q/4 + r turns with |r| <= 1/8; sine and cosine of r.
struct ReducedTurn {
  std::int32_t quarter;
  float sine, cosine;
};
LIMBECK_HD ReducedTurn reduced_turn(float u) {
  const float magic = 0x1.8p23f;
  const float t = fma(u, 4.0f, magic);
  const float r = fma(t - magic, -0.25f, u);
  const float r2 = r * r;
  float s = 0x1.4442c4p+5f;
  s = fma(s, r2, -0x1.32adbap+6f);
  s = fma(s, r2, 0x1.466b78p+6f);
  s = fma(s, r2, -0x1.4abbcep+5f);
  s = fma(s, r2, -0x1.777a5cp-23f);  // 2 pi less its float
  float c = 0x1.d46c34p+5f;
  c = fma(c, r2, -0x1.55b130p+6f);
  c = fma(c, r2, 0x1.03c1aep+6f);
  c = fma(c, r2, -0x1.3bd3ccp+4f);
  return {as_int(t) & 3, fma(r, 0x1.921fb6p+2f, r * s), fma(r2, c, 1.0f)};
}

}  // namespace detail

/// exp(x) for x <= 88.7, in fewer operations; not for NaN.
LIMBECK_HD float exp_of_moderate(float x) {
  const detail::ReducedExp e = detail::reduced_exp(x);
  // Adds n to the exponent field; as unsigned, because n is meaningless for a very low x.
  const std::uint32_t scaled = static_cast<std::uint32_t>(detail::as_int(1.0f + e.expm1)) +
                               (static_cast<std::uint32_t>(e.n) << 23);
  return x < -0x1.5d589ep+6f ? 0.0f : detail::as_float(static_cast<std::int32_t>(scaled));
}
LIMBECK_HD double exp_of_moderate(double x) { return std::exp(x); }

/// e^x within 1.1 ulp; results below 2^-126 are 0.
LIMBECK_HD float exp(float x) {
  const float y = exp_of_moderate(x);
  const float overflow = x + detail::kInf;  // infinite, or NaN for a NaN
  return x <= 0x1.62e42ep+6f ? y : overflow;
}
LIMBECK_HD double exp(double x) { return std::exp(x); }

/// e^x - 1 within 2 ulp, also for small x.
LIMBECK_HD float expm1(float x) {
  const float low = x < -30.0f ? -30.0f : x;        // there the result is -1 already
  const float bounded = low > 89.0f ? 89.0f : low;  // there it is inf already
  const detail::ReducedExp e = detail::reduced_exp(bounded);
  const float half_scale = detail::as_float((e.n + 126) << 23);  // 2^n / 2: n may be 128
  return 2.0f * fma(e.expm1, half_scale, half_scale - 0.5f);
}
LIMBECK_HD double expm1(double x) { return std::expm1(x); }

/// exp(x) and expm1(x) with the fewest operations, for sums over probabilities: the error relative
/// to the result grows with |x|, by 3e-9 of it. Not for NaN.
namespace detail {

/// x = n ln 2 + r; n stands in the low bits of `steps`, above 9 bits of zeros.
struct CoarselyReduced {
  std::uint32_t steps;
  float r;
};
LIMBECK_HD CoarselyReduced coarsely_reduced(float x) {
  const float magic = 0x1.8p23f;
  const float t = fma(x, 0x1.715476p+0f, magic);
  return {static_cast<std::uint32_t>(as_int(t)), fma(t - magic, -0x1.62e430p-1f, x)};
}

}  // namespace detail

/// For x <= 88; below -87 as at -87, 1.6e-38.
LIMBECK_HD float quick_exp(float x) {
  const detail::CoarselyReduced e = detail::coarsely_reduced(x > -87.0f ? x : -87.0f);
  const float y = fma(e.r, fma(e.r, exp_remainder(e.r), 1.0f), 1.0f);
  const std::uint32_t bits = static_cast<std::uint32_t>(detail::as_int(y)) + (e.steps << 23);
  return detail::as_float(static_cast<std::int32_t>(bits));
}
LIMBECK_HD double quick_exp(double x) { return std::exp(x); }

/// For x <= 80.
LIMBECK_HD float quick_expm1(float x) {
  const detail::CoarselyReduced e = detail::coarsely_reduced(x > -30.0f ? x : -30.0f);
  const float m = fma(e.r * e.r, exp_remainder(e.r), e.r);
  const std::uint32_t bits = (e.steps << 23) + 0x3f800000u;
  const float scale = detail::as_float(static_cast<std::int32_t>(bits));  // 2^n
  return fma(m, scale, scale - 1.0f);
}
LIMBECK_HD double quick_expm1(double x) { return std::expm1(x); }

/// Natural logarithm within 1 ulp; -inf at 0, NaN below.
LIMBECK_HD float log(float x) {
  const bool subnormal = x < 0x1p-126f;
  const float normal = subnormal ? x * 0x1p24f : x;
  const std::int32_t k = detail::nearest_exponent(normal);
  const float m = detail::as_float(static_cast<std::int32_t>(
      static_cast<std::uint32_t>(detail::as_int(normal)) - (static_cast<std::uint32_t>(k) << 23)));
  float y = detail::log_from_parts(subnormal ? k - 24 : k, m - 1.0f);
  y = x < detail::kInf ? y : x;  // inf and NaN stay
  y = x == 0.0f ? -detail::kInf : y;
  return x < 0.0f ? detail::kNan : y;
}
LIMBECK_HD double log(double x) { return std::log(x); }

/// log(1 + x) within 2 ulp, also for small x; -inf at -1, NaN below.
LIMBECK_HD float log1p(float x) {
  const std::int32_t k = detail::nearest_exponent(1.0f + x);
  const float scale = 0.25f * detail::as_float((129 - k) << 23);  // 2^-k, subnormal for k = 128
  float y = detail::log_from_parts(k, fma(x, scale, scale - 1.0f));
  y = x < detail::kInf ? y : x;
  y = x == -1.0f ? -detail::kInf : y;
  return x < -1.0f ? detail::kNan : y;
}
LIMBECK_HD double log1p(double x) { return std::log1p(x); }

/// Hyperbolic tangent within 2.5 ulp.
LIMBECK_HD float tanh(float x) {
  const float a = detail::abs(x);
  const float e = expm1(2.0f * (a > 10.0f ? 10.0f : a));  // tanh(10) rounds to 1
  return detail::with_sign_of(e / (e + 2.0f), x);
}
LIMBECK_HD double tanh(double x) { return std::tanh(x); }

/// Error function within 2 ulp.
LIMBECK_HD float erf(float x) {
  const float a = detail::abs(x);
  const float x2 = x * x;
  float p = 0x1.610e12p-14f;  // |x| < 0.87: erf(x)/x - 1 in powers of x^2
  p = fma(p, x2, -0x1.ab4520p-11f);
  p = fma(p, x2, 0x1.54dc86p-8f);
  p = fma(p, x2, -0x1.b80f76p-6f);
  p = fma(p, x2, 0x1.ce2dfep-4f);
  p = fma(p, x2, -0x1.812742p-2f);
  p = fma(p, x2, 0x1.06eba8p-3f);
  const float inner = fma(x, p, x);
  const float b = a > 4.0f ? 4.0f : a;  // erf(4) rounds to 1
  float q = -0x1.ab3392p-13f;           // otherwise: -log(1 - erf |x|)
  q = fma(q, b, 0x1.98b268p-9f);
  q = fma(q, b, -0x1.70f79cp-6f);
  q = fma(q, b, 0x1.ac252ap-4f);
  q = fma(q, b, 0x1.45e596p-1f);
  q = fma(q, b, 0x1.20c8aap+0f);
  q = fma(q, b, 0x1.b5a1d0p-14f);
  const float outer = detail::with_sign_of(1.0f - exp(-q), x);
  return a < 0.87f ? inner : outer;
}
LIMBECK_HD double erf(double x) { return std::erf(x); }

/// sin(2 pi u) and cos(2 pi u) within 2 ulp of the larger of the two, for |u| <= 1.
LIMBECK_HD float sin_2pi(float u) {
  const detail::ReducedTurn t = detail::reduced_turn(u);
  const float y = (t.quarter & 1) != 0 ? t.cosine : t.sine;
  return detail::as_float(detail::as_int(y) ^ ((t.quarter & 2) << 30));
}
LIMBECK_HD float cos_2pi(float u) {
  const detail::ReducedTurn t = detail::reduced_turn(u);
  const float y = (t.quarter & 1) != 0 ? t.sine : t.cosine;
  return detail::as_float(detail::as_int(y) ^ (((t.quarter + 1) & 2) << 30));
}
LIMBECK_HD double sin_2pi(double u) { return std::sin(6.283185307179586 * u); }
LIMBECK_HD double cos_2pi(double u) { return std::cos(6.283185307179586 * u); }

}  // namespace limbeck::math
