// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/grad_scale.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/grad_scale_rules.h>
#include <limbeck/kernels/sum_of.h>

namespace limbeck {
namespace {

void check_one(const char* op, const char* name, const Tensor& t, DType dtype, Device device) {
  LIMBECK_CHECK(t.defined() && t.numel() == 1 && t.dtype() == dtype && t.device() == device, op,
                ": ", name, " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected one ",
                dtype, " on ", device);
}

void check_grads(std::span<const Tensor> grads) {
  LIMBECK_CHECK(!grads.empty(), "grad_scale: no gradients; expected at least one");
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const Tensor &g = grads[i], &first = grads[0];
    LIMBECK_CHECK(g.defined(), "grad_scale: gradient ", i,
                  " is undefined; expected an allocated tensor");
    LIMBECK_CHECK(is_floating(g.dtype()), "grad_scale: gradient ", i, " is ", g.dtype(),
                  "; expected a floating dtype");
    LIMBECK_CHECK(g.dtype() == first.dtype() && g.device() == first.device(),
                  "grad_scale: gradient ", i, " is ", g.dtype(), " on ", g.device(),
                  ", gradient 0 ", first.dtype(), " on ", first.device(), "; expected equal ones");
  }
}

}  // namespace

void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options) {
  check_grads(grads);
  LIMBECK_CHECK(options.max_norm > 0, "grad_scale: max_norm is ", options.max_norm,
                "; expected > 0");
  const Device device = grads[0].device();
  const DType dtype = grads[0].dtype() == DType::f64 ? DType::f64 : DType::f32;
  check_one("grad_scale", "factor", factor, dtype, device);
  check_one("grad_scale", "norm", norm, dtype, device);
  if (options.loss_scale.defined())
    check_one("grad_scale", "loss_scale", options.loss_scale, dtype, device);
  LIMBECK_DISPATCH(device, grad_scale(factor, norm, grads, options));
}

void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& o) {
  const char* op = "update_loss_scale";
  LIMBECK_CHECK(o.growth >= 1, op, ": growth is ", o.growth, "; expected >= 1");
  LIMBECK_CHECK(o.backoff > 0 && o.backoff <= 1, op, ": backoff is ", o.backoff,
                "; expected 0 < backoff <= 1");
  LIMBECK_CHECK(o.growth_interval >= 1, op, ": growth_interval is ", o.growth_interval,
                "; expected >= 1");
  LIMBECK_CHECK(norm.defined(), op, ": norm is undefined; expected an allocated tensor");
  check_one(op, "norm", norm, DType::f32, norm.device());
  check_one(op, "scale", scale, DType::f32, norm.device());
  check_one(op, "streak", streak, DType::f32, norm.device());
  LIMBECK_DISPATCH(norm.device(), update_loss_scale(scale, streak, norm, o));
}

namespace cpu {
namespace {

template <class T>
void grad_scale_of(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                   const GradScaleOptions& options) {
  using F = ComputeType<T>;
  F squares = 0;
  for (const Tensor& g : grads) squares += sum_of<T>(g, [](F v) { return v * v; });
  const F loss_scale = options.loss_scale.defined() ? *options.loss_scale.data<F>() : F(1);
  const auto found = grad_factor(squares, static_cast<F>(options.max_norm), loss_scale);
  *norm.data<F>() = found.norm;
  *factor.data<F>() = found.factor;
}

}  // namespace

void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options) {
  visit_floating(grads[0].dtype(), [&](auto tag) {
    grad_scale_of<typename decltype(tag)::type>(factor, norm, grads, options);
  });
}

void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& o) {
  const LossScaleRule rule{static_cast<float>(o.growth), static_cast<float>(o.backoff),
                           static_cast<float>(o.growth_interval)};
  rule(*scale.data<float>(), *streak.data<float>(), *norm.data<float>());
}

}  // namespace cpu
}  // namespace limbeck
