// SPDX-License-Identifier: Apache-2.0
// Internal: the products of MathMode::fast. onednn.cpp computes them with oneDNN; onednn_none.cpp
// stands in where oneDNN is not installed and is never called.
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/conv2d.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck::onednn {

bool available();
/// As limbeck::matmul, for f32 and bf16, c f32 or bf16 (bf16 only where the CPU has it; else
/// returns false).
/// Returns false when oneDNN has no fast way; the caller then computes exactly.
bool matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out);
/// y (N,O) = x (N,I) w (O,I)^T + bias (O, or undefined), then max(y, 0) when relu. f32 or bf16.
bool linear_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu);
/// As the limbeck:: functions of these names, f32 only.
bool conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options);
bool conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
bool conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);

}  // namespace limbeck::onednn
