// SPDX-License-Identifier: Apache-2.0
// Internal: what the losses have in common about class labels.
#pragma once

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

/// Throws unless labels is (N) i32 on `device` and, on the CPU, each is in [0,V) or kIgnoreIndex.
inline void check_labels(const char* op, const Tensor& labels, std::int64_t N, std::int64_t V,
                         Device device) {
  LIMBECK_CHECK(labels.defined(), op, ": labels is undefined; expected (", N, ") i32");
  LIMBECK_CHECK(labels.shape() == Shape({N}) && labels.dtype() == DType::i32, op, ": labels is ",
                labels.dtype(), labels.shape(), "; expected i32(", N, ")");
  LIMBECK_CHECK(labels.device() == device, op, ": labels on ", labels.device(), ", logits on ",
                device, "; expected one device");
  if (device.is_cuda()) return;
  const std::int32_t* label = labels.data<std::int32_t>();
  for (std::int64_t n = 0; n < N; ++n)
    LIMBECK_CHECK((label[n] >= 0 && label[n] < V) || label[n] == kIgnoreIndex, op, ": label ", n,
                  " is ", label[n], "; expected 0 to ", V - 1, " or ", kIgnoreIndex);
}

namespace cpu {

/// 1 / rows the loss is a mean over: mean_over, or when 0 the N rows less the ignored (0 if none
/// is left). `label` may be null.
inline double mean_scale(double mean_over, const std::int32_t* label, std::int64_t N) {
  if (mean_over > 0) return 1 / mean_over;
  std::int64_t counted = N;
  for (std::int64_t n = 0; label != nullptr && n < N; ++n) counted -= label[n] == kIgnoreIndex;
  return counted > 0 ? 1 / static_cast<double>(counted) : 0;
}

}  // namespace cpu

}  // namespace limbeck
