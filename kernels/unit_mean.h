// SPDX-License-Identifier: Apache-2.0
// Numbers divided by their mean.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y = x / mean, mean = sum x / n of all n >= 1 elements of x, any shape and floating dtype,
/// summed in f32 (f64 for f64). y (x's shape and dtype; may be x) and mean (1; f32, f64 for f64)
/// are written. Where the mean is 0, y and its gradient are 0: meant for lengths, which are not
/// negative.
void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x);
/// dx = (dy - sum dy y / n) / mean: what leaves the mean as it is. Written; dx may be dy.
void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean);

namespace cpu {
void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x);
void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean);
}  // namespace cpu
namespace cuda {
void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x);
void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean);
}  // namespace cuda

}  // namespace limbeck
