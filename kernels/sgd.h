// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent over all parameters in one call (one launch on a GPU).
#pragma once

#include <span>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// One parameter as an optimiser sees it. All tensors f32 (or all f64 on the CPU), equal shapes.
struct SgdParam {
  Tensor value;
  Tensor grad;
  Tensor momentum;      ///< running buffer; undefined when momentum is 0
  double weight_decay;  ///< this parameter's
};

struct SgdOptions {
  double lr = 0;        ///< >= 0
  double momentum = 0;  ///< 0 <= momentum < 1
  bool nesterov = false;
};

/// As PyTorch's SGD without dampening:
///   g = grad + weight_decay value;  m = momentum m + g;  value -= lr (nesterov ? g + momentum m :
///   m)
/// value and momentum are updated in place; grad is read only. The momentum buffers start at zero.
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);

namespace cpu {
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);
}  // namespace cpu
namespace cuda {
void sgd_step(std::span<SgdParam> params, const SgdOptions& options);
}  // namespace cuda

}  // namespace limbeck
