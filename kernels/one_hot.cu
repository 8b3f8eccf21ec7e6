// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/one_hot.h>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// One thread per element; writes N*V.
template <class T>
LIMBECK_KERNEL one_hot_kernel(T* y, const std::int32_t* labels, std::int64_t n, std::int64_t V,
                              float on, float off) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const std::int32_t label = labels[i / V];
  const bool known = (label >= 0 && label < V) || label == kIgnoreIndex;
  y[i] = T(!known ? __builtin_nanf("") : label == i % V ? on : off);
}

}  // namespace

void one_hot(Tensor& y, const Tensor& labels, double on, double off) {
  const std::int64_t n = y.numel();
  if (n == 0) return;
  gpu::visit_gpu_floating("one_hot", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"one_hot", gpu::blocks_for(n, kThreads), kThreads}, one_hot_kernel<T>, y.data<T>(),
                labels.data<std::int32_t>(), n, y.dim(1), static_cast<float>(on),
                static_cast<float>(off));
  });
}

}  // namespace limbeck::cuda
