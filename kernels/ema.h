// SPDX-License-Identifier: Apache-2.0
// Exponential moving averages of many tensors in one call (one launch on a GPU).
#pragma once

#include <span>

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// One average: f32 (or f64 with an f64 source, on the CPU), and what it follows: the same shape
/// and device, any floating dtype. All pairs have the same two dtypes and device.
struct EmaPair {
  Tensor value;  ///< updated in place
  Tensor source;
};

/// value += (1 - decay) (source - value), 0 <= decay <= 1: exact where value is source already.
void ema_step(std::span<EmaPair> pairs, const StepNumber& decay);

namespace cpu {
void ema_step(std::span<EmaPair> pairs, const StepNumber& decay);
}  // namespace cpu
namespace cuda {
void ema_step(std::span<EmaPair> pairs, const StepNumber& decay);
}  // namespace cuda

}  // namespace limbeck
