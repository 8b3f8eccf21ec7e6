// SPDX-License-Identifier: Apache-2.0
// Blocks of the gradients are squared and summed, many tensors per launch; one block adds their
// sums in order. No atomics, so the same bits on every GPU.
#include <limbeck/kernels/grad_scale.h>

#include <vector>

#include <limbeck/kernels/grad_scale_rules.h>
#include <limbeck/kernels/multi_tensor.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kFinishThreads = 1024;

template <class T>
struct Entry {
  const T* grad;
  std::int64_t n;
  float* sums;  ///< one per block
};

/// Reads every element once.
struct SquareAndSum {
  template <class T>
  LIMBECK_DEVICE void operator()(const Entry<T>& e, std::int64_t first) const {
    float sum[1] = {0};
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) break;
      const float g = static_cast<float>(e.grad[i]);
      sum[0] += g * g;
    }
    gpu::block_reduce<gpu::kTensorThreads>(sum, gpu::Sum{});
    if (threadIdx.x == 0) e.sums[first / gpu::kBlockElements] = sum[0];
  }
};

/// One block; thread t adds the sums t, t + 1024, ..
LIMBECK_KERNEL grad_factor_kernel(float* factor, float* norm, const float* sums, unsigned count,
                                  float max_norm, const float* loss_scale) {
  float sum[1] = {0};
  for (unsigned i = threadIdx.x; i < count; i += kFinishThreads) sum[0] += sums[i];
  gpu::block_reduce<kFinishThreads>(sum, gpu::Sum{});
  if (threadIdx.x != 0) return;
  const auto found = grad_factor(sum[0], max_norm, loss_scale ? *loss_scale : 1.0f);
  *norm = found.norm;
  *factor = found.factor;
}

LIMBECK_KERNEL loss_scale_kernel(float* scale, float* streak, const float* norm,
                                 LossScaleRule rule) {
  rule(*scale, *streak, *norm);
}

}  // namespace

void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options) {
  unsigned count = 0;
  for (const Tensor& g : grads) count += gpu::blocks_for(g.numel(), gpu::kBlockElements);
  Tensor sums = Tensor::empty({count}, DType::f32, grads[0].device());
  gpu::visit_gpu_floating("grad_scale", grads[0].dtype(), [&]<class T>(TypeTag<T>) {
    std::vector<Entry<T>> entries;
    float* next = sums.data<float>();
    for (const Tensor& g : grads) {
      entries.push_back({g.data<T>(), g.numel(), next});
      next += gpu::blocks_for(g.numel(), gpu::kBlockElements);
    }
    gpu::for_each_tensor<Entry<T>>("grad_scale", entries, SquareAndSum{});
  });
  const float* loss_scale =
      options.loss_scale.defined() ? options.loss_scale.data<float>() : nullptr;
  gpu::launch({"grad_factor", 1, kFinishThreads}, grad_factor_kernel, factor.data<float>(),
              norm.data<float>(), sums.data<float>(), count, static_cast<float>(options.max_norm),
              loss_scale);
}

void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& o) {
  const LossScaleRule rule{static_cast<float>(o.growth), static_cast<float>(o.backoff),
                           static_cast<float>(o.growth_interval)};
  gpu::launch({"loss_scale", 1, 1}, loss_scale_kernel, scale.data<float>(), streak.data<float>(),
              norm.data<float>(), rule);
}

}  // namespace limbeck::cuda
