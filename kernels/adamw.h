// SPDX-License-Identifier: Apache-2.0
// AdamW over all parameters in one call (one launch on a GPU).
#pragma once

#include <span>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// One parameter as an optimiser sees it. All tensors f32 (or all f64 on the CPU), equal shapes.
struct AdamwParam {
  Tensor value;
  Tensor grad;
  Tensor moment1;
  Tensor moment2;
  double weight_decay;  ///< this parameter's
};

struct AdamwOptions {
  double lr = 0;  ///< >= 0
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  std::int64_t step = 0;  ///< number of this step, from 1
};

/// Loshchilov and Hutter (2019), decoupled weight decay:
///   value *= 1 - lr weight_decay;  m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2
///   value -= lr (m / (1-beta1^step)) / (sqrt(v / (1-beta2^step)) + eps)
/// value and moments are updated in place; grad is read only. The moments start at zero.
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);

/// 1 - beta^step by repeated squaring: the same bits on every machine, for both twins.
double adamw_bias_correction(double beta, std::int64_t step);

namespace cpu {
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);
}  // namespace cpu
namespace cuda {
void adamw_step(std::span<AdamwParam> params, const AdamwOptions& options);
}  // namespace cuda

}  // namespace limbeck
