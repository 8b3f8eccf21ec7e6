// SPDX-License-Identifier: Apache-2.0
// Internal, CPU and GPU: what one class adds to each divergence between teacher and student, in
// forms that are never negative and lose no digits when the two agree.
#pragma once

#include <limbeck/core/math.h>

namespace limbeck::divergence {

/// Stands for an infinite log-ratio: infinity itself, times a probability of 0, would be NaN.
inline constexpr float kUnbounded = 1e30f;

/// x within +-kUnbounded; NaN stays.
template <class F>
LIMBECK_HD F bounded(F x) {
  const F below = x > F(kUnbounded) ? F(kUnbounded) : x;
  return below < F(-kUnbounded) ? F(-kUnbounded) : below;
}

/// One class of one row. u = log pt - log ps, bounded, is known to its own last digits.
template <class F>
struct ClassTerms {
  F ps, pt, ps_minus_pt, u;
};

/// p (expm1(-u) + u) = p u + other - p, where other = p e^-u.
template <class F>
LIMBECK_HD F kl_term(F p, F other_minus_p, F u) {
  const F near = p * (u * u) * math::exp_remainder(-u);
  const F far = math::fma(p, u, other_minus_p);
  const F positive = far < F(0) ? F(0) : far;  // rounding may have crossed 0; NaN stays
  const F known = p > F(0) && u >= F(kUnbounded) ? F(math::detail::kInf) : positive;
  return u * u < F(0.12) ? near : known;
}

/// The class's share of KL(teacher || student).
template <class F>
LIMBECK_HD F forward_kl_term(const ClassTerms<F>& c) {
  return kl_term(c.pt, c.ps_minus_pt, c.u);
}
/// The class's share of KL(student || teacher).
template <class F>
LIMBECK_HD F reverse_kl_term(const ClassTerms<F>& c) {
  return kl_term(c.ps, -c.ps_minus_pt, -c.u);
}

/// (1 + x) log(1 + x) - x, which is x^2/2 - x^3/6 + x^4/12 - ..., for x in [kSmallExcess, 0].
inline constexpr float kSmallExcess = -0.29f;
LIMBECK_HD float small_excess(float x) {
  return math::fma(1.0f + x, math::detail::log1p_minus(x), x * x);
}
LIMBECK_HD double small_excess(double x) {
  double sum = 0, power = x * x;
  for (int k = 2; k < 40; ++k, power *= -x) sum += power / (k * (k - 1));
  return sum;
}

/// The class's share of beta KL(pt || m) + (1-beta) KL(ps || m), and log(ps / m).
template <class F>
struct JsdTerm {
  F value, log_ps_over_m;
};
/// The larger probability is the unit: with x = smaller/larger - 1, b the smaller one's weight and
/// excess(x) = (1 + x) log(1 + x) - x, m = larger (1 + b x) and the share is
/// larger (b excess(x) - excess(b x)).
template <class F>
LIMBECK_HD JsdTerm<F> jsd_term(const ClassTerms<F>& c, F beta) {
  const bool student_larger = c.u <= F(0);
  const F larger = student_larger ? c.ps : c.pt, smaller = student_larger ? c.pt : c.ps;
  const F b = student_larger ? beta : F(1) - beta, log_ratio = student_larger ? c.u : -c.u;
  const F gap = student_larger ? c.ps_minus_pt : -c.ps_minus_pt;
  const F x = math::quick_expm1(log_ratio), bx = b * x, log_m = math::log1p(bx);
  const F small_x = x < F(kSmallExcess) ? F(kSmallExcess) : x;
  const F small_bx = bx < F(kSmallExcess) ? F(kSmallExcess) : bx;
  const F whole =
      x < F(kSmallExcess) ? math::fma(smaller, log_ratio, gap) : larger * small_excess(small_x);
  const F part = bx < F(kSmallExcess) ? math::fma(F(1) + bx, log_m, -bx) : small_excess(small_bx);
  const F value = math::fma(b, whole, -larger * part);
  return {value < F(0) ? F(0) : value, -log_m - (student_larger ? F(0) : c.u)};
}

/// Weights of the divergences that see the row as a whole.
template <class F>
struct Weights {
  F forward_kl, reverse_kl, jsd, jsd_beta, tvd;
};

/// A class's share of the weighted divergences, and h: the gradient of all but the forward KL with
/// respect to zs / tau is ps (h - sum ps h); the forward KL's is ps - pt.
template <class F>
struct Share {
  F loss, h;
};
template <bool kJsd, class F>
LIMBECK_HD Share<F> share(const ClassTerms<F>& c, const Weights<F>& w) {
  const F distance = c.ps_minus_pt < F(0) ? -c.ps_minus_pt : c.ps_minus_pt;
  const F side = c.ps_minus_pt < F(0) ? F(-0.5) : c.ps_minus_pt > F(0) ? F(0.5) : F(0);
  // A term may be infinite, and 0 times that NaN.
  Share<F> s;
  s.loss = w.forward_kl > F(0) ? w.forward_kl * forward_kl_term(c) : F(0);
  s.loss += w.reverse_kl > F(0) ? w.reverse_kl * reverse_kl_term(c) : F(0);
  s.loss = math::fma(w.tvd, F(0.5) * distance, s.loss);
  s.h = math::fma(w.tvd, side, -w.reverse_kl * c.u);
  if constexpr (kJsd) {
    const JsdTerm<F> jsd = jsd_term(c, w.jsd_beta);
    s.loss = math::fma(w.jsd, jsd.value, s.loss);
    s.h = math::fma(w.jsd * (F(1) - w.jsd_beta), jsd.log_ps_over_m, s.h);
  }
  return s;
}

/// KL(teacher || student) of two outcomes, and ps - pt of the first.
template <class F>
struct TwoOutcomes {
  F kl, ps_minus_pt;
};
template <class F>
LIMBECK_HD F softplus(F x) {
  const F magnitude = x < F(0) ? -x : x;
  return (x > F(0) ? x : F(0)) + math::log1p(math::exp(-magnitude));
}
template <class F>
LIMBECK_HD F logistic(F x) {
  const F e = math::exp(x < F(0) ? x : -x), unlikely = e / (F(1) + e);
  return x < F(0) ? unlikely : F(1) / (F(1) + e);
}
/// From the log-odds of the first outcome for student and teacher, and their difference t - s to
/// its own last digits.
template <class F>
LIMBECK_HD TwoOutcomes<F> two_outcomes(F s, F t, F difference) {
  const F ps = logistic(s), not_ps = logistic(-s), pt = logistic(t), not_pt = logistic(-t);
  const bool close = difference < F(0.5) && difference > F(-0.5);
  const F moderate = close ? difference : F(0);
  const F log_sums = math::log1p(ps * math::expm1(moderate));
  const F u = close ? moderate - log_sums : softplus(-s) - softplus(-t);
  const F not_u = close ? -log_sums : softplus(s) - softplus(t);
  const F change = close ? (s < F(0) ? -ps * math::expm1(u) : not_ps * math::expm1(not_u))
                         : (s < F(0) ? ps - pt : not_pt - not_ps);
  return {kl_term(pt, change, u) + kl_term(not_pt, -change, not_u), change};
}

}  // namespace limbeck::divergence
