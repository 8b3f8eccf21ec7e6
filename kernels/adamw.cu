// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adamw.h>

#include <utility>
#include <vector>

#include <limbeck/core/math.h>
#include <limbeck/kernels/multi_tensor.cuh>

namespace limbeck::cuda {
namespace {

template <class G>
struct Entry {
  float* value;
  const G* grad;
  float* moment1;
  float* moment2;
  std::int64_t n;
  double lr_scale, weight_decay;
  G* rounded;  // or null
};

/// Reads 16 and writes 12 bytes per element.
struct Update {
  const float* grad_scale;  // or null
  StepNumber lr, first_correction, second_correction;
  float beta1, rest1, beta2, rest2, eps;

  template <class G>
  LIMBECK_DEVICE void operator()(const Entry<G>& e, std::int64_t first) const {
    const float scale = grad_scale ? *grad_scale : 1.0f;
    if (!gpu::finite(scale)) return;
    // In f64, as on the host.
    const double rate = lr.get() * e.lr_scale;
    const float step = static_cast<float>(rate);
    const float decay = static_cast<float>(1 - rate * e.weight_decay);  // what is left of the value
    const float correction1 = static_cast<float>(first_correction.get());
    const float correction2 = static_cast<float>(second_correction.get());
    float g[gpu::kThreadElements], m[gpu::kThreadElements], v[gpu::kThreadElements],
        w[gpu::kThreadElements];
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      g[k] = static_cast<float>(e.grad[i]) * scale;
      m[k] = e.moment1[i];
      v[k] = e.moment2[i];
      w[k] = e.value[i];
    }
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      m[k] = beta1 * m[k] + rest1 * g[k];
      v[k] = beta2 * v[k] + rest2 * (g[k] * g[k]);
      e.moment1[i] = m[k];
      e.moment2[i] = v[k];
      w[k] = w[k] * decay - step * (m[k] / correction1) / (math::sqrt(v[k] / correction2) + eps);
      e.value[i] = w[k];
      if (e.rounded) e.rounded[i] = G(w[k]);
    }
  }
};

}  // namespace

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  const AdamwCorrections corrections(options);
  const Update update{options.grad_scale.defined() ? options.grad_scale.data<float>() : nullptr,
                      options.lr,
                      corrections.first,
                      corrections.second,
                      static_cast<float>(options.beta1),
                      static_cast<float>(1 - options.beta1),
                      static_cast<float>(options.beta2),
                      static_cast<float>(1 - options.beta2),
                      static_cast<float>(options.eps)};
  gpu::visit_gpu_floating("adamw_step", params[0].grad.dtype(), [&]<class G>(TypeTag<G>) {
    std::vector<Entry<G>> entries;
    for (AdamwParam& p : params)
      entries.push_back({p.value.data<float>(), std::as_const(p.grad).data<G>(),
                         p.moment1.data<float>(), p.moment2.data<float>(), p.value.numel(),
                         p.lr_scale, p.weight_decay,
                         p.rounded.defined() ? p.rounded.data<G>() : nullptr});
    gpu::for_each_tensor<Entry<G>>("adamw_step", entries, update);
  });
}

}  // namespace limbeck::cuda
