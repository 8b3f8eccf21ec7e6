// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/sgd.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/optimizer_params.h>
#include <limbeck/kernels/pieces.h>

namespace limbeck {
namespace {

void check(std::span<const SgdParam> params, const SgdOptions& o) {
  LIMBECK_CHECK(o.lr.value >= 0, "sgd_step: lr is ", o.lr.value, "; expected >= 0");
  LIMBECK_CHECK(o.momentum >= 0 && o.momentum < 1, "sgd_step: momentum is ", o.momentum,
                "; expected 0 <= momentum < 1");
  LIMBECK_CHECK(!o.nesterov || o.momentum > 0, "sgd_step: nesterov with momentum ", o.momentum,
                "; expected momentum > 0");
  detail::check_params("sgd_step", params);
  for (std::size_t i = 0; o.momentum > 0 && i < params.size(); ++i) {
    const SgdParam& p = params[i];
    detail::check_beside("sgd_step", "momentum", i, p.momentum, p.value, p.value.dtype());
  }
}

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
  check(params, options);
  if (params.empty()) return;
  detail::check_grad_scale("sgd_step", options.grad_scale, params[0].value);
  LIMBECK_DISPATCH(params[0].value.device(), sgd_step(params, options));
}

namespace cpu {
namespace {

template <class T>
struct Coefficients {
  T grad_scale, lr, weight_decay, momentum;
  bool nesterov;
};

template <class T, class G>
[[gnu::always_inline]] inline void update(T* value, const G* grad, std::int64_t n,
                                          const Coefficients<T>& c) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i)
    value[i] -= c.lr * (static_cast<T>(grad[i]) * c.grad_scale + c.weight_decay * value[i]);
}

template <class T, class G>
[[gnu::always_inline]] inline void update(T* value, const G* grad, T* buffer, std::int64_t n,
                                          const Coefficients<T>& c) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const T g = static_cast<T>(grad[i]) * c.grad_scale + c.weight_decay * value[i];
    const T m = c.momentum * buffer[i] + g;
    buffer[i] = m;
    value[i] -= c.lr * (c.nesterov ? g + c.momentum * m : m);
  }
}

template <class T, class G>
void step(std::span<SgdParam> params, const SgdOptions& o) {
  const T scale = o.grad_scale.defined() ? *o.grad_scale.data<T>() : 1;
  if (!std::isfinite(scale)) return;
  const double lr = o.lr.get();
  for_each_piece(params, [&](SgdParam& p, std::int64_t begin, std::int64_t n) {
    T* value = p.value.data<T>() + begin;
    const G* grad = p.grad.data<G>() + begin;
    T* buffer = o.momentum > 0 ? p.momentum.data<T>() + begin : nullptr;
    const Coefficients<T> c = {scale, static_cast<T>(lr * p.lr_scale),
                               static_cast<T>(p.weight_decay), static_cast<T>(o.momentum),
                               o.nesterov};
    simd([&](auto) {
      if (buffer == nullptr)
        update(value, grad, n, c);
      else
        update(value, grad, buffer, n, c);
    });
    if constexpr (!std::is_same_v<T, G>) round_piece(p.rounded.data<G>() + begin, value, n);
  });
}

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
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
