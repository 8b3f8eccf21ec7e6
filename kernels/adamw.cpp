// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adamw.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/optimizer_params.h>
#include <limbeck/kernels/pieces.h>

namespace limbeck {
namespace {

void check_options(const AdamwOptions& o) {
  LIMBECK_CHECK(o.lr.value >= 0, "adamw_step: lr is ", o.lr.value, "; expected >= 0");
  LIMBECK_CHECK(o.beta1 >= 0 && o.beta1 < 1, "adamw_step: beta1 is ", o.beta1,
                "; expected 0 <= beta1 < 1");
  LIMBECK_CHECK(o.beta2 >= 0 && o.beta2 < 1, "adamw_step: beta2 is ", o.beta2,
                "; expected 0 <= beta2 < 1");
  LIMBECK_CHECK(o.eps > 0, "adamw_step: eps is ", o.eps, "; expected > 0");
  const auto given = [](const StepNumber& c) { return !c.known() || c.value > 0; };
  LIMBECK_CHECK(o.step >= 1 || (o.step == 0 && given(o.correction1) && given(o.correction2)),
                "adamw_step: step is ", o.step, "; expected >= 1");
}

void check(std::span<const AdamwParam> params) {
  detail::check_params("adamw_step", params);
  for (std::size_t i = 0; i < params.size(); ++i) {
    const AdamwParam& p = params[i];
    detail::check_beside("adamw_step", "moment1", i, p.moment1, p.value, p.value.dtype());
    detail::check_beside("adamw_step", "moment2", i, p.moment2, p.value, p.value.dtype());
  }
}

}  // namespace

double adamw_bias_correction(double beta, std::int64_t step) {
  double power = 1;
  for (; step > 0; step >>= 1, beta *= beta)
    if (step & 1) power *= beta;
  return 1 - power;
}

AdamwCorrections::AdamwCorrections(const AdamwOptions& o)
    : first(o.step > 0 ? adamw_bias_correction(o.beta1, o.step) : o.correction1),
      second(o.step > 0 ? adamw_bias_correction(o.beta2, o.step) : o.correction2) {}

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  check_options(options);
  check(params);
  if (params.empty()) return;
  detail::check_grad_scale("adamw_step", options.grad_scale, params[0].value);
  LIMBECK_DISPATCH(params[0].value.device(), adamw_step(params, options));
}

namespace cpu {
namespace {

template <class T>
struct Coefficients {
  T grad_scale, beta1, rest1, beta2, rest2, correction1, correction2, eps;

  Coefficients(T scale, const AdamwOptions& o)
      : grad_scale(scale),
        beta1(static_cast<T>(o.beta1)),
        rest1(static_cast<T>(1 - o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        rest2(static_cast<T>(1 - o.beta2)),
        correction1(static_cast<T>(AdamwCorrections(o).first.get())),
        correction2(static_cast<T>(AdamwCorrections(o).second.get())),
        eps(static_cast<T>(o.eps)) {}
};

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

// decay: what one step leaves of the value.
template <class T, class G>
[[gnu::always_inline]] inline void update(T* value, const G* grad, T* moment1, T* moment2,
                                          std::int64_t n, T lr, T decay, const Coefficients<T>& c) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const T g = static_cast<T>(grad[i]) * c.grad_scale;
    const T m = c.beta1 * moment1[i] + c.rest1 * g;
    const T v = c.beta2 * moment2[i] + c.rest2 * (g * g);
    moment1[i] = m;
    moment2[i] = v;
    value[i] = value[i] * decay - lr * (m / c.correction1) / (root(v / c.correction2) + c.eps);
  }
}

template <class T, class G>
void step(std::span<AdamwParam> params, const AdamwOptions& o) {
  const T scale = o.grad_scale.defined() ? *o.grad_scale.data<T>() : 1;
  if (!std::isfinite(scale)) return;
  const Coefficients<T> coefficients(scale, o);
  const double common = o.lr.get();
  for_each_piece(params, [&](AdamwParam& p, std::int64_t begin, std::int64_t n) {
    T *value = p.value.data<T>() + begin, *moment1 = p.moment1.data<T>() + begin,
      *moment2 = p.moment2.data<T>() + begin;
    const G* grad = p.grad.data<G>() + begin;
    const double rate = common * p.lr_scale;
    const T lr = static_cast<T>(rate), decay = static_cast<T>(1 - rate * p.weight_decay);
    simd([&](auto) { update(value, grad, moment1, moment2, n, lr, decay, coefficients); });
    if constexpr (!std::is_same_v<T, G>) round_piece(p.rounded.data<G>() + begin, value, n);
  });
}

}  // namespace

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  if (params[0].value.dtype() == DType::f64)
    step<double, double>(params, options);
  else
    visit_floating(params[0].grad.dtype(), [&](auto tag) {
      using G = typename decltype(tag)::type;
      if constexpr (!std::is_same_v<G, double>) step<float, G>(params, options);
    });
}

}  // namespace cpu

}  // namespace limbeck
