// SPDX-License-Identifier: Apache-2.0
// Internal: 1 / (rows a loss is a mean over), which may be known on the device only.
#pragma once

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::gpu {

inline constexpr int kCountThreads = 1024;

/// scale = 1 / (labels that are not kIgnoreIndex), 0 if there is none. One block.
template <class F>
LIMBECK_KERNEL inverse_count_kernel(F* scale, const std::int32_t* labels, std::int64_t N) {
  int counted[1] = {0};
  for (std::int64_t n = threadIdx.x; n < N; n += kCountThreads)
    counted[0] += labels[n] != kIgnoreIndex;
  block_reduce<kCountThreads>(counted, Sum{});
  if (threadIdx.x == 0) *scale = static_cast<F>(counted[0] > 0 ? 1.0 / counted[0] : 0.0);
}

/// Up to so many labels are counted by every warp that asks, which saves a launch.
inline constexpr std::int64_t kFewLabels = 1024;

struct MeanScale {
  double given;                ///< taken when the others are null
  const double* counted;       ///< on the device
  const std::int32_t* labels;  ///< still to be counted, N of them
  int N;

  /// Called by whole warps.
  LIMBECK_DEVICE double value() const {
    if (labels == nullptr) return counted ? *counted : given;
    int count[1] = {0};
    for (int n = lane(); n < N; n += kWarp) count[0] += labels[n] != kIgnoreIndex;
    warp_reduce(count, Sum{});
    return count[0] > 0 ? 1.0 / count[0] : 0.0;
  }
};

/// The scale for N rows; what was counted on the device is kept in `storage`.
inline MeanScale mean_scale(Tensor& storage, double mean_over, const Tensor& labels,
                            std::int64_t N) {
  if (mean_over > 0 || !labels.defined())
    return {1 / (mean_over > 0 ? mean_over : static_cast<double>(N)), nullptr, nullptr, 0};
  if (N <= kFewLabels) return {0, nullptr, labels.data<std::int32_t>(), static_cast<int>(N)};
  storage = Tensor::empty({1}, DType::f64, labels.device());
  launch({"inverse_count", 1, kCountThreads}, inverse_count_kernel<double>, storage.data<double>(),
         labels.data<std::int32_t>(), N);
  return {0, storage.data<double>(), nullptr, 0};
}

}  // namespace limbeck::gpu
