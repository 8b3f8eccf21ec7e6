// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adamw.h>

#include <vector>

#include <limbeck/core/math.h>
#include <limbeck/kernels/multi_tensor.cuh>

namespace limbeck::cuda {
namespace {

struct Entry {
  float* value;
  const float* grad;
  float* moment1;
  float* moment2;
  std::int64_t n;
  float decay;  // what one step leaves of the value: 1 - lr weight_decay
};

/// Reads 16 and writes 12 bytes per element.
struct Update {
  float lr, beta1, rest1, beta2, rest2, correction1, correction2, eps;

  LIMBECK_DEVICE void operator()(const Entry& e, std::int64_t first) const {
    float g[gpu::kThreadElements], m[gpu::kThreadElements], v[gpu::kThreadElements],
        w[gpu::kThreadElements];
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      g[k] = e.grad[i];
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
      e.value[i] =
          w[k] * e.decay - lr * (m[k] / correction1) / (math::sqrt(v[k] / correction2) + eps);
    }
  }
};

}  // namespace

void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options) {
  std::vector<Entry> entries;
  for (AdamwParam& p : params)
    entries.push_back({p.value.data<float>(), p.grad.data<float>(), p.moment1.data<float>(),
                       p.moment2.data<float>(), p.value.numel(),
                       static_cast<float>(1 - options.lr * p.weight_decay)});
  const Update update{static_cast<float>(options.lr),
                      static_cast<float>(options.beta1),
                      static_cast<float>(1 - options.beta1),
                      static_cast<float>(options.beta2),
                      static_cast<float>(1 - options.beta2),
                      static_cast<float>(adamw_bias_correction(options.beta1, options.step)),
                      static_cast<float>(adamw_bias_correction(options.beta2, options.step)),
                      static_cast<float>(options.eps)};
  gpu::for_each_tensor<Entry>("adamw_step", entries, update);
}

}  // namespace limbeck::cuda
