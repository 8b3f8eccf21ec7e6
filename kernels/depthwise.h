// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: convolution of every channel with a window of its own, without an unfolded matrix.
#pragma once

#include <limbeck/kernels/conv2d.h>

namespace limbeck::cpu {

/// One input and one output channel per group.
inline bool is_depthwise(const Shape& w, const Conv2dOptions& options) {
  return options.groups > 1 && options.groups == w[0] && w[3] == 1;
}

/// As the limbeck:: functions of these names, f32 and f64, for is_depthwise convolutions. An
/// element of dx is one FMA chain too, over (kh, kw).
void depthwise_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                       const Conv2dOptions& options);
void depthwise_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                             const Conv2dOptions& options);
void depthwise_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                               const Conv2dOptions& options);

}  // namespace limbeck::cpu
