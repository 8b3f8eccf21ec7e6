// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/sgd.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/pieces.h>

namespace limbeck {
namespace {

void check_like(const char* what, std::size_t i, const Tensor& t, const Tensor& value) {
  LIMBECK_CHECK(t.defined(), "sgd_step: parameter ", i, " has no ", what, "; expected one like ",
                value.dtype(), value.shape());
  LIMBECK_CHECK(
      t.shape() == value.shape() && t.dtype() == value.dtype() && t.device() == value.device(),
      "sgd_step: parameter ", i, " has ", what, " ", t.dtype(), t.shape(), " on ", t.device(),
      ", value ", value.dtype(), value.shape(), " on ", value.device(), "; expected equal ones");
}

void check(std::span<const SgdParam> params, const SgdOptions& o) {
  LIMBECK_CHECK(o.lr >= 0, "sgd_step: lr is ", o.lr, "; expected >= 0");
  LIMBECK_CHECK(o.momentum >= 0 && o.momentum < 1, "sgd_step: momentum is ", o.momentum,
                "; expected 0 <= momentum < 1");
  LIMBECK_CHECK(!o.nesterov || o.momentum > 0, "sgd_step: nesterov with momentum ", o.momentum,
                "; expected momentum > 0");
  for (std::size_t i = 0; i < params.size(); ++i) {
    const SgdParam& p = params[i];
    LIMBECK_CHECK(p.value.defined(), "sgd_step: parameter ", i, " has no value");
    LIMBECK_CHECK(p.value.dtype() == DType::f32 ||
                      (p.value.dtype() == DType::f64 && !p.value.device().is_cuda()),
                  "sgd_step: parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(),
                  "; expected f32, or f64 on the CPU");
    LIMBECK_CHECK(
        p.value.dtype() == params[0].value.dtype() && p.value.device() == params[0].value.device(),
        "sgd_step: parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(),
        ", parameter 0 ", params[0].value.dtype(), " on ", params[0].value.device(),
        "; expected equal ones");
    check_like("grad", i, p.grad, p.value);
    if (o.momentum > 0) check_like("momentum", i, p.momentum, p.value);
    LIMBECK_CHECK(p.weight_decay >= 0, "sgd_step: parameter ", i, " has weight_decay ",
                  p.weight_decay, "; expected >= 0");
  }
}

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
  check(params, options);
  if (params.empty()) return;
  LIMBECK_DISPATCH(params[0].value.device(), sgd_step(params, options));
}

namespace cpu {
namespace {

template <class T>
[[gnu::always_inline]] inline void update(T* value, const T* grad, std::int64_t n, T lr,
                                          T weight_decay) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) value[i] -= lr * (grad[i] + weight_decay * value[i]);
}

template <class T>
[[gnu::always_inline]] inline void update(T* value, const T* grad, T* buffer, std::int64_t n, T lr,
                                          T weight_decay, T momentum, bool nesterov) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const T g = grad[i] + weight_decay * value[i];
    const T m = momentum * buffer[i] + g;
    buffer[i] = m;
    value[i] -= lr * (nesterov ? g + momentum * m : m);
  }
}

template <class T>
void step(std::span<SgdParam> params, const SgdOptions& o) {
  const T lr = static_cast<T>(o.lr), momentum = static_cast<T>(o.momentum);
  for_each_piece(params, [&](SgdParam& p, std::int64_t begin, std::int64_t n) {
    T* value = p.value.data<T>() + begin;
    const T* grad = p.grad.data<T>() + begin;
    T* buffer = o.momentum > 0 ? p.momentum.data<T>() + begin : nullptr;
    const T decay = static_cast<T>(p.weight_decay);
    simd([&](auto) {
      if (buffer == nullptr)
        update(value, grad, n, lr, decay);
      else
        update(value, grad, buffer, n, lr, decay, momentum, o.nesterov);
    });
  });
}

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
  if (params[0].value.dtype() == DType::f64)
    step<double>(params, options);
  else
    step<float>(params, options);
}

}  // namespace cpu

}  // namespace limbeck
