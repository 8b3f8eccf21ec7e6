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
  float lr;
  float decay;  // what one step leaves of the value: 1 - lr weight_decay
  G* rounded;   // or null
};

/// Reads 16 and writes 12 bytes per element.
struct Update {
  const float* grad_scale;  // or null
  float beta1, rest1, beta2, rest2, correction1, correction2, eps;

  template <class G>
  LIMBECK_DEVICE void operator()(const Entry<G>& e, std::int64_t first) const {
    const float scale = grad_scale ? *grad_scale : 1.0f;
    if (!gpu::finite(scale)) return;
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
      w[k] = w[k] * e.decay - e.lr * (m[k] / correction1) / (math::sqrt(v[k] / correction2) + eps);
      e.value[i] = w[k];
      if (e.rounded) e.rounded[i] = G(w[k]);
    }
  }
};

}  // namespace

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  const Update update{options.grad_scale.defined() ? options.grad_scale.data<float>() : nullptr,
                      static_cast<float>(options.beta1),
                      static_cast<float>(1 - options.beta1),
                      static_cast<float>(options.beta2),
                      static_cast<float>(1 - options.beta2),
                      static_cast<float>(adamw_bias_correction(options.beta1, options.step)),
                      static_cast<float>(adamw_bias_correction(options.beta2, options.step)),
                      static_cast<float>(options.eps)};
  gpu::visit_gpu_floating("adamw_step", params[0].grad.dtype(), [&]<class G>(TypeTag<G>) {
    std::vector<Entry<G>> entries;
    for (AdamwParam& p : params) {
      const double lr = options.lr * p.lr_scale;
      entries.push_back({p.value.data<float>(), std::as_const(p.grad).data<G>(),
                         p.moment1.data<float>(), p.moment2.data<float>(), p.value.numel(),
                         static_cast<float>(lr), static_cast<float>(1 - lr * p.weight_decay),
                         p.rounded.defined() ? p.rounded.data<G>() : nullptr});
    }
    gpu::for_each_tensor<Entry<G>>("adamw_step", entries, update);
  });
}

}  // namespace limbeck::cuda
