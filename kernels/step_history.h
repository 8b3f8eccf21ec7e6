// SPDX-License-Identifier: Apache-2.0
// A number of every step, kept on the device until somebody asks.
#pragma once

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// history (n) f32, n >= 1: element `step` mod n = value (1) f32, read on the device; the others
/// are left alone. `step` is a whole number >= 0.
void record_step(Tensor& history, const StepNumber& step, const Tensor& value);

namespace cpu {
void record_step(Tensor& history, const StepNumber& step, const Tensor& value);
}  // namespace cpu
namespace cuda {
void record_step(Tensor& history, const StepNumber& step, const Tensor& value);
}  // namespace cuda

}  // namespace limbeck
