// SPDX-License-Identifier: Apache-2.0
// Internal, CPU and GPU: one outcome of the K + 1 that a sparse teacher tells apart.
#pragma once

#include <limbeck/kernels/divergence.h>

namespace limbeck::kd_topk {

/// Log-weights of student and teacher, each less its row's largest, and t - s to its own last
/// digits, which the two no longer have: few outcomes are worth f64.
template <class F>
struct Outcome {
  F s, t, d;
};
template <class F>
LIMBECK_HD Outcome<F> outcome(double s, double t, double max_s, double max_t) {
  const double below_s = divergence::bounded(s - max_s), below_t = divergence::bounded(t - max_t);
  return {static_cast<F>(below_s), static_cast<F>(below_t), static_cast<F>(below_t - below_s)};
}

/// The student's log-weight of the rest, as the teacher's: the same where that is its rounding.
template <class F>
LIMBECK_HD double teacher_rest(F rest_lse, double student) {
  return static_cast<F>(student) == rest_lse ? student : static_cast<double>(rest_lse);
}

/// With the teacher's log-weights less `raise`, which may be any number: e = exp(s), y = exp(t) -
/// e. As in kd_loss, sum y / sum e = A gives ps - pt = (A e - y) / (sum e + sum y) without
/// cancellation, unless A is close to -1: then a better raise is needed.
template <class F>
struct Weights {
  F e, y;
};
template <class F>
LIMBECK_HD Weights<F> weights(const Outcome<F>& o, F raise) {
  const F e = math::exp(o.s), d = o.d - raise;
  const F heavy = o.s < F(-46) ? o.s + d + F(46) : d;  // above 16: d > 16 and pt > e^-30
  const F direct = math::exp(o.t - raise) - e;
  const F y = e * math::expm1(d > F(80) ? F(80) : d);
  return {e, heavy > F(16) ? direct : y};
}

/// What to add to raise; 0 when it is good enough. The teacher's largest weight is 1 and the
/// student's at most 1 each, so that once is enough.
template <class F>
LIMBECK_HD F better_raise(F sum_e, F sum_y) {
  const F ratio = (sum_e + sum_y) / sum_e;
  return ratio < F(0.125) ? math::log(ratio) : F(0);
}

/// An outcome's share of KL(teacher || student), and ps - pt; k = 1 / (sum e + sum y) and log_sums
/// = log1p(A) + raise.
template <class F>
struct Share {
  F kl, ps_minus_pt;
};
template <class F>
LIMBECK_HD Share<F> share(const Weights<F>& w, F d, F A, F k, F log_sums) {
  const F u = divergence::bounded(d - log_sums);
  const F ps_minus_pt = k * math::fma(A, w.e, -w.y);
  return {divergence::kl_term(k * (w.e + w.y), ps_minus_pt, u), ps_minus_pt};
}

}  // namespace limbeck::kd_topk
