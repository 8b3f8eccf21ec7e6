// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/sgd.h>

#include <vector>

#include <limbeck/kernels/multi_tensor.cuh>

namespace limbeck::cuda {
namespace {

struct Entry {
  float* value;
  const float* grad;
  float* momentum;  // null without momentum
  std::int64_t n;
  float weight_decay;
};

/// Reads 8 and writes 4 bytes per element; with momentum 12 and 8.
struct Update {
  float lr, momentum;
  bool nesterov;

  LIMBECK_DEVICE void operator()(const Entry& e, std::int64_t first) const {
    float g[gpu::kThreadElements], m[gpu::kThreadElements], w[gpu::kThreadElements];
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      g[k] = e.grad[i];
      w[k] = e.value[i];
      m[k] = e.momentum ? e.momentum[i] : 0;
    }
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      g[k] = g[k] + e.weight_decay * w[k];
      if (e.momentum) {
        m[k] = momentum * m[k] + g[k];
        e.momentum[i] = m[k];
        g[k] = nesterov ? g[k] + momentum * m[k] : m[k];
      }
      e.value[i] = w[k] - lr * g[k];
    }
  }
};

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
  std::vector<Entry> entries;
  for (SgdParam& p : params)
    entries.push_back({p.value.data<float>(), p.grad.data<float>(),
                       options.momentum > 0 ? p.momentum.data<float>() : nullptr, p.value.numel(),
                       static_cast<float>(p.weight_decay)});
  gpu::for_each_tensor<Entry>("sgd_step", entries,
                              Update{static_cast<float>(options.lr),
                                     static_cast<float>(options.momentum), options.nesterov});
}

}  // namespace limbeck::cuda
