// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adamw.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/pieces.h>

namespace limbeck {
namespace {

void check_like(const char* what, std::size_t i, const Tensor& t, const Tensor& value) {
  LIMBECK_CHECK(t.defined(), "adamw_step: parameter ", i, " has no ", what, "; expected one like ",
                value.dtype(), value.shape());
  LIMBECK_CHECK(
      t.shape() == value.shape() && t.dtype() == value.dtype() && t.device() == value.device(),
      "adamw_step: parameter ", i, " has ", what, " ", t.dtype(), t.shape(), " on ", t.device(),
      ", value ", value.dtype(), value.shape(), " on ", value.device(), "; expected equal ones");
}

void check_options(const AdamwOptions& o) {
  LIMBECK_CHECK(o.lr >= 0, "adamw_step: lr is ", o.lr, "; expected >= 0");
  LIMBECK_CHECK(o.beta1 >= 0 && o.beta1 < 1, "adamw_step: beta1 is ", o.beta1,
                "; expected 0 <= beta1 < 1");
  LIMBECK_CHECK(o.beta2 >= 0 && o.beta2 < 1, "adamw_step: beta2 is ", o.beta2,
                "; expected 0 <= beta2 < 1");
  LIMBECK_CHECK(o.eps > 0, "adamw_step: eps is ", o.eps, "; expected > 0");
  LIMBECK_CHECK(o.step >= 1, "adamw_step: step is ", o.step, "; expected >= 1");
}

void check(std::span<const AdamwParam> params) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    const AdamwParam& p = params[i];
    LIMBECK_CHECK(p.value.defined(), "adamw_step: parameter ", i, " has no value");
    LIMBECK_CHECK(p.value.dtype() == DType::f32 ||
                      (p.value.dtype() == DType::f64 && !p.value.device().is_cuda()),
                  "adamw_step: parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(),
                  "; expected f32, or f64 on the CPU");
    LIMBECK_CHECK(
        p.value.dtype() == params[0].value.dtype() && p.value.device() == params[0].value.device(),
        "adamw_step: parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(),
        ", parameter 0 ", params[0].value.dtype(), " on ", params[0].value.device(),
        "; expected equal ones");
    check_like("grad", i, p.grad, p.value);
    check_like("moment1", i, p.moment1, p.value);
    check_like("moment2", i, p.moment2, p.value);
    LIMBECK_CHECK(p.weight_decay >= 0, "adamw_step: parameter ", i, " has weight_decay ",
                  p.weight_decay, "; expected >= 0");
  }
}

}  // namespace

double adamw_bias_correction(double beta, std::int64_t step) {
  double power = 1;
  for (; step > 0; step >>= 1, beta *= beta)
    if (step & 1) power *= beta;
  return 1 - power;
}

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  check_options(options);
  check(params);
  if (params.empty()) return;
  LIMBECK_DISPATCH(params[0].value.device(), adamw_step(params, options));
}

namespace cpu {
namespace {

template <class T>
struct Coefficients {
  T lr, beta1, rest1, beta2, rest2, correction1, correction2, eps;

  explicit Coefficients(const AdamwOptions& o)
      : lr(static_cast<T>(o.lr)),
        beta1(static_cast<T>(o.beta1)),
        rest1(static_cast<T>(1 - o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        rest2(static_cast<T>(1 - o.beta2)),
        correction1(static_cast<T>(adamw_bias_correction(o.beta1, o.step))),
        correction2(static_cast<T>(adamw_bias_correction(o.beta2, o.step))),
        eps(static_cast<T>(o.eps)) {}
};

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

// decay: what one step leaves of the value.
template <class T>
[[gnu::always_inline]] inline void update(T* value, const T* grad, T* moment1, T* moment2,
                                          std::int64_t n, T decay, const Coefficients<T>& c) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const T g = grad[i];
    const T m = c.beta1 * moment1[i] + c.rest1 * g;
    const T v = c.beta2 * moment2[i] + c.rest2 * (g * g);
    moment1[i] = m;
    moment2[i] = v;
    value[i] = value[i] * decay - c.lr * (m / c.correction1) / (root(v / c.correction2) + c.eps);
  }
}

template <class T>
void step(std::span<AdamwParam> params, const AdamwOptions& o) {
  const Coefficients<T> coefficients(o);
  for_each_piece(params, [&](AdamwParam& p, std::int64_t begin, std::int64_t n) {
    T *value = p.value.data<T>() + begin, *moment1 = p.moment1.data<T>() + begin,
      *moment2 = p.moment2.data<T>() + begin;
    const T* grad = p.grad.data<T>() + begin;
    const T decay = static_cast<T>(1 - o.lr * p.weight_decay);
    simd([&](auto) { update(value, grad, moment1, moment2, n, decay, coefficients); });
  });
}

}  // namespace

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  if (params[0].value.dtype() == DType::f64)
    step<double>(params, options);
  else
    step<float>(params, options);
}

}  // namespace cpu

}  // namespace limbeck
