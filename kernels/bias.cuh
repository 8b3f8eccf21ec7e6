// SPDX-License-Identifier: Apache-2.0
// Internal: adds a bias to every row of a tensor.
#pragma once

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

/// One thread per 16 bytes of y.
template <class T>
LIMBECK_KERNEL add_bias_kernel(T* y, const T* bias, std::int64_t n, int channels, bool relu) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t first = thread * kLanes<T>;
  int channel = static_cast<int>(first % channels);
  for (std::int64_t i = first; i < first + kLanes<T> && i < n; ++i) {
    const float sum = static_cast<float>(y[i]) + static_cast<float>(bias[channel]);
    y[i] = T(relu ? Relu()(sum) : sum);
    channel = channel + 1 < channels ? channel + 1 : 0;
  }
}

/// y (...,C) += bias (C), then the maximum of that and 0 with `relu`.
inline void add_bias(Tensor& y, const Tensor& bias, bool relu = false) {
  if (y.numel() == 0) return;
  visit_gpu_floating("add_bias", y.dtype(), [&]<class T>(TypeTag<T>) {
    launch({"add_bias", blocks_for(y.numel(), 256 * kLanes<T>), 256}, add_bias_kernel<T>,
           y.data<T>(), bias.data<T>(), y.numel(), static_cast<int>(bias.numel()), relu);
  });
}

}  // namespace limbeck::gpu
