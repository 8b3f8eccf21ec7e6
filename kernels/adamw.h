// SPDX-License-Identifier: Apache-2.0
// AdamW over all parameters in one call (one launch on a GPU).
#pragma once

#include <span>

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// One parameter as an optimiser sees it, tensors of one shape: value and moments f32 (or all f64
/// on the CPU). Of a model in bf16 or f16, `value` is the master copy, `grad` has the model's dtype
/// and so has `rounded`, the model's parameter, which is written.
struct AdamwParam {
  Tensor value;
  Tensor grad;
  Tensor moment1;
  Tensor moment2;
  double weight_decay;  ///< this parameter's
  double lr_scale = 1;  ///< >= 0; this parameter's learning rate over the common one
  Tensor rounded = {};  ///< undefined: grad has value's dtype
};

struct AdamwOptions {
  StepNumber lr = 0;  ///< >= 0
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  std::int64_t step = 0;  ///< number of this step, from 1
  /// (1) of value's dtype, on its device: what gradients are multiplied by, read there; where it is
  /// not finite the step changes nothing. Undefined: 1.
  Tensor grad_scale = {};
  /// In the place of `step` where that is 0: adamw_bias_correction of beta1 and beta2, > 0.
  StepNumber correction1 = 0, correction2 = 0;
};

/// Loshchilov and Hutter (2019), decoupled weight decay:
///   g = grad_scale grad;  lr = options.lr lr_scale
///   value *= 1 - lr weight_decay;  m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2
///   value -= lr (m / (1-beta1^step)) / (sqrt(v / (1-beta2^step)) + eps)
/// value and moments are updated in place; grad is read only. The moments start at zero.
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);

/// 1 - beta^step by repeated squaring: the same bits on every machine, for both twins.
double adamw_bias_correction(double beta, std::int64_t step);

/// The corrections of a step, from its number or as they are given.
struct AdamwCorrections {
  StepNumber first, second;
  explicit AdamwCorrections(const AdamwOptions& options);
};

namespace cpu {
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);
}  // namespace cpu
namespace cuda {
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);
}  // namespace cuda

}  // namespace limbeck
