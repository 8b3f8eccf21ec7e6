// SPDX-License-Identifier: Apache-2.0
// Internal, GPU builds only: convolutions from cuDNN, deterministic algorithms only. The emulated
// GPU answers these calls with the CPU twins (tests/simt).
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/conv2d.h>

namespace limbeck::cudnn {

/// As the limbeck:: functions of these names, without bias, for f32, bf16 and f16 and no empty
/// tensor.
void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options);
void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);

}  // namespace limbeck::cudnn
