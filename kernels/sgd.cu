// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/sgd.h>

#include <utility>
#include <vector>

#include <limbeck/kernels/multi_tensor.cuh>

namespace limbeck::cuda {
namespace {

template <class G>
struct Entry {
  float* value;
  const G* grad;
  float* momentum;  // null without momentum
  std::int64_t n;
  double lr_scale;
  float weight_decay;
  G* rounded;  // or null
};

/// Reads 8 and writes 4 bytes per element; with momentum 12 and 8.
struct Update {
  const float* grad_scale;  // or null
  StepNumber lr;
  float momentum;
  bool nesterov;

  template <class G>
  LIMBECK_DEVICE void operator()(const Entry<G>& e, std::int64_t first) const {
    const float scale = grad_scale ? *grad_scale : 1.0f;
    if (!gpu::finite(scale)) return;
    const float rate = static_cast<float>(lr.get() * e.lr_scale);
    float g[gpu::kThreadElements], m[gpu::kThreadElements], w[gpu::kThreadElements];
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      g[k] = static_cast<float>(e.grad[i]) * scale;
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
      w[k] = w[k] - rate * g[k];
      e.value[i] = w[k];
      if (e.rounded) e.rounded[i] = G(w[k]);
    }
  }
};

}  // namespace

void sgd_step(std::span<SgdParam> params, const SgdOptions& options) {
  const Update update{options.grad_scale.defined() ? options.grad_scale.data<float>() : nullptr,
                      options.lr, static_cast<float>(options.momentum), options.nesterov};
  gpu::visit_gpu_floating("sgd_step", params[0].grad.dtype(), [&]<class G>(TypeTag<G>) {
    std::vector<Entry<G>> entries;
    for (SgdParam& p : params)
      entries.push_back({p.value.data<float>(), std::as_const(p.grad).data<G>(),
                         options.momentum > 0 ? p.momentum.data<float>() : nullptr, p.value.numel(),
                         p.lr_scale, static_cast<float>(p.weight_decay),
                         p.rounded.defined() ? p.rounded.data<G>() : nullptr});
    gpu::for_each_tensor<Entry<G>>("sgd_step", entries, update);
  });
}

}  // namespace limbeck::cuda
