// SPDX-License-Identifier: Apache-2.0
// Internal: what the likelihood loss computes per channel and per element, on either device.
#pragma once

#include <type_traits>

#include <limbeck/core/math.h>
#include <limbeck/kernels/likelihood_loss.h>

namespace limbeck {

/// softplus(x) = log(1 + e^x) and its derivative.
template <class F>
LIMBECK_HD F softplus(F x) {
  const F low = x < F(0) ? x : -x;  // -|x|
  return (x < F(0) ? F(0) : x) + math::log1p(math::exp(low));
}
template <class F>
LIMBECK_HD F sigmoid(F x) {
  return F(1) / (F(1) + math::exp(-x));
}

/// What the elements of a channel share.
template <class F>
struct LikelihoodChannel {
  F log_gauss = 0, inv_v = 0;    ///< log N at r = 0 (plus log pi), 1/v
  F log_laplace = 0, inv_b = 0;  ///< log L at r = 0 (plus log(1 - pi)), 1/b
  F pi = 0;
  F step_v = 0, step_b = 0;  ///< what multiplies w (r^2/v - 1) and (1 - w) (|r|/b - 1)
};

/// k as in kernels/likelihood_loss.h; a kind reads its own parameters only.
template <Likelihood kKind, class F>
LIMBECK_HD LikelihoodChannel<F> likelihood_channel(F rho_v, F rho_b, F kappa, F k) {
  LikelihoodChannel<F> c;
  if constexpr (kKind != Likelihood::laplace) {
    const F v = softplus(rho_v) + static_cast<F>(kScaleFloor);
    c.inv_v = F(1) / v;
    c.log_gauss = F(-0.5) * (F(1.8378770664093453) + math::log(v));  // log 2 pi
    c.step_v = F(-0.5) * k * sigmoid(rho_v) * c.inv_v;
  }
  if constexpr (kKind != Likelihood::gauss) {
    const F b = softplus(rho_b) + static_cast<F>(kScaleFloor);
    c.inv_b = F(1) / b;
    c.log_laplace = -(F(0.69314718055994531) + math::log(b));
    c.step_b = -k * sigmoid(rho_b) * c.inv_b;
  }
  if constexpr (kKind == Likelihood::mixture) {
    c.pi = sigmoid(kappa);
    c.log_gauss -= softplus(-kappa);
    c.log_laplace -= softplus(kappa);
  }
  return c;
}

/// -log p of one element, its dmu, and what the sums over rows are of.
template <class F>
struct LikelihoodElement {
  F loss, dmu, v, b, kappa;  ///< v = w (r^2/v - 1), b = (1 - w) (|r|/b - 1), kappa = w - pi
};

/// Of r = t - mu; the loss is left out (0) unless kLoss.
template <Likelihood kKind, bool kLoss, class F>
LIMBECK_HD LikelihoodElement<F> likelihood_element(F r, const LikelihoodChannel<F>& c, F k) {
  const F a = r < F(0) ? -r : r;
  const F gauss = r * r * c.inv_v, laplace = a * c.inv_b;  // the exponents, -1/2 and -1 times
  F loss = 0, w = kKind == Likelihood::gauss ? F(1) : F(0), other = F(1) - w;
  if constexpr (kKind == Likelihood::gauss) {
    loss = math::fma(F(0.5), gauss, -c.log_gauss);
  } else if constexpr (kKind == Likelihood::laplace) {
    loss = laplace - c.log_laplace;
  } else {
    const F log_gauss = math::fma(F(-0.5), gauss, c.log_gauss);
    const F log_laplace = c.log_laplace - laplace;
    const F apart = log_gauss - log_laplace;
    const F rest = math::exp_of_moderate(apart < F(0) ? apart : -apart);
    const F larger = F(1) / (F(1) + rest);
    const F smaller = rest * larger;
    w = apart < F(0) ? smaller : larger;
    other = apart < F(0) ? larger : smaller;
    if constexpr (kLoss) loss = -(apart < F(0) ? log_laplace : log_gauss) - math::log1p(rest);
  }
  const F sign = r > F(0) ? F(1) : r < F(0) ? F(-1) : F(0);
  const F slope = math::fma(w * c.inv_v, r, other * c.inv_b * sign);
  return {loss, -k * slope, w * (gauss - F(1)), other * (laplace - F(1)), w - c.pi};
}

/// Calls fn with the kind as a constant.
template <class Fn>
void visit_likelihood(Likelihood kind, Fn fn) {
  switch (kind) {
    case Likelihood::gauss:
      return fn(std::integral_constant<Likelihood, Likelihood::gauss>{});
    case Likelihood::laplace:
      return fn(std::integral_constant<Likelihood, Likelihood::laplace>{});
    case Likelihood::mixture:
      return fn(std::integral_constant<Likelihood, Likelihood::mixture>{});
  }
}

}  // namespace limbeck
