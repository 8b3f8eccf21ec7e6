// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_mean.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/pointwise.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 1024;

/// One block: mean = that of a_i, or of a_i b_i, over n elements, which are some 10^5 at most.
template <class T>
LIMBECK_KERNEL mean_kernel(float* mean, const T* a, const T* b, std::int64_t n) {
  float sum[1] = {0};
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads)
    sum[0] = math::fma(static_cast<float>(a[i]), b ? static_cast<float>(b[i]) : 1.0f, sum[0]);
  gpu::block_reduce<kThreads>(sum, gpu::Sum{});
  if (threadIdx.x == 0) *mean = sum[0] / static_cast<float>(n);
}

/// (x - shift) / mean, or 0 where mean is.
struct Divided {
  const float* shift;  // or null
  const float* mean;
  LIMBECK_DEVICE float operator()(float x) const {
    const float inverse = *mean == 0 ? 0.0f : 1.0f / *mean;
    return (x - (shift ? *shift : 0.0f)) * inverse;
  }
};

}  // namespace

void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x) {
  gpu::visit_gpu_floating("unit_mean_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"mean", 1, kThreads}, mean_kernel<T>, mean.data<float>(), x.data<T>(),
                static_cast<const T*>(nullptr), x.numel());
    gpu::map<T>("unit_mean_forward", y, Divided{nullptr, mean.data<float>()}, x);
  });
}

void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean) {
  Tensor shift = Tensor::empty_like(mean);
  gpu::visit_gpu_floating("unit_mean_backward", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"mean", 1, kThreads}, mean_kernel<T>, shift.data<float>(), dy.data<T>(),
                y.data<T>(), y.numel());
    gpu::map<T>("unit_mean_backward", dx, Divided{shift.data<float>(), mean.data<float>()}, dy);
  });
}

}  // namespace limbeck::cuda
