// SPDX-License-Identifier: Apache-2.0
// Internal: the divergences of one pair of distributions and their derivatives, on either device.
#pragma once

#include <type_traits>

#include <limbeck/core/math.h>
#include <limbeck/kernels/distribution_kl.h>

namespace limbeck {

/// KL and its derivatives with respect to both means and log scales.
template <class F>
struct KlElement {
  F kl, m1, s1, m2, s2;
};

/// e^x - 1 - x, given expm1(x).
template <class F>
LIMBECK_HD F exp_excess(F x, F expm1) {
  const F a = x < F(0) ? -x : x;
  return a < F(0.34) ? x * x * math::exp_remainder(x) : expm1 - x;
}

template <class F>
LIMBECK_HD KlElement<F> kl_gauss_gauss(F m1, F s1, F m2, F s2) {
  const F x = s1 - s2, D = m1 - m2;
  const F ratio = math::expm1(x), precision = math::exp(-s2);  // v1/v2 - 1, 1/v2
  const F pull = D * precision, square = D * pull;
  return {F(0.5) * (exp_excess(x, ratio) + square), pull, F(0.5) * ratio, -pull,
          F(-0.5) * (ratio + square)};
}

// d/dl1 = q - 1 - q (1 - (1 + u) e^-u), d/dl2 = 1 - q (u + e^-u), both through e^-u - 1.
template <class F>
LIMBECK_HD KlElement<F> kl_laplace_laplace(F m1, F l1, F m2, F l2) {
  const F x = l1 - l2, D = m1 - m2;
  const F ratio = math::expm1(x), q = F(1) + ratio;  // b1/b2
  const F u = (D < F(0) ? -D : D) * math::exp(-l1);
  const F fall = math::expm1(-u), rest = exp_excess(-u, fall);
  const F sign = D > F(0) ? F(1) : D < F(0) ? F(-1) : F(0);
  const F m = sign * (-fall * math::exp(-l2));
  return {exp_excess(x, ratio) + q * rest, m, math::fma(q, math::fma(u, fall, rest), ratio), -m,
          -ratio - q * rest};
}

template <class F>
LIMBECK_HD KlElement<F> kl_gauss_laplace(F m1, F s1, F m2, F l2) {
  const F width = math::exp(F(0.5) * s1 - l2);  // sigma/b
  const F z = (m1 - m2) * F(0.70710678118654752) * math::exp(F(-0.5) * s1);
  const F erf = math::erf(z);
  const F peak = width * F(0.79788456080286536) * math::exp(-z * z);         // times sqrt(2/pi)
  const F spread = math::fma(width * F(1.4142135623730951) * z, erf, peak);  // E/b
  const F m = erf * math::exp(-l2);
  // log 2 - 1/2 log(2 pi e)
  return {F(-0.72579135264472743) + (l2 - F(0.5) * s1) + spread, m, F(0.5) * (peak - F(1)), -m,
          F(1) - spread};
}

template <DistributionKl kKind, class F>
LIMBECK_HD KlElement<F> kl_element(F m1, F s1, F m2, F s2) {
  if constexpr (kKind == DistributionKl::gauss_gauss)
    return kl_gauss_gauss(m1, s1, m2, s2);
  else if constexpr (kKind == DistributionKl::laplace_laplace)
    return kl_laplace_laplace(m1, s1, m2, s2);
  else
    return kl_gauss_laplace(m1, s1, m2, s2);
}

/// Calls fn with the kind as a constant.
template <class Fn>
void visit_distribution_kl(DistributionKl kind, Fn fn) {
  switch (kind) {
    case DistributionKl::gauss_gauss:
      return fn(std::integral_constant<DistributionKl, DistributionKl::gauss_gauss>{});
    case DistributionKl::laplace_laplace:
      return fn(std::integral_constant<DistributionKl, DistributionKl::laplace_laplace>{});
    case DistributionKl::gauss_laplace:
      return fn(std::integral_constant<DistributionKl, DistributionKl::gauss_laplace>{});
  }
}

}  // namespace limbeck
