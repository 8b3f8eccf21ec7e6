// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent over all parameters in one call (one launch on a GPU).
#pragma once

#include <span>

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// One parameter as an optimiser sees it, tensors of one shape: value and momentum f32 (or all f64
/// on the CPU). Of a model in bf16 or f16, `value` is the master copy, `grad` has the model's dtype
/// and so has `rounded`, the model's parameter, which is written.
struct SgdParam {
  Tensor value;
  Tensor grad;
  Tensor momentum;      ///< running buffer; undefined when momentum is 0
  double weight_decay;  ///< this parameter's
  double lr_scale = 1;  ///< >= 0; this parameter's learning rate over the common one
  Tensor rounded = {};  ///< undefined: grad has value's dtype
};

struct SgdOptions {
  StepNumber lr = 0;    ///< >= 0
  double momentum = 0;  ///< 0 <= momentum < 1
  bool nesterov = false;
  /// (1) of value's dtype, on its device: what gradients are multiplied by, read there; where it is
  /// not finite the step changes nothing. Undefined: 1.
  Tensor grad_scale = {};
};

/// As PyTorch's SGD without dampening:
///   g = grad_scale grad + weight_decay value;  m = momentum m + g
///   value -= lr (nesterov ? g + momentum m : m),  lr = options.lr lr_scale
/// value and momentum are updated in place; grad is read only. The momentum buffers start at zero.
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);

namespace cpu {
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);
}  // namespace cpu
namespace cuda {
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);
}  // namespace cuda

}  // namespace limbeck
