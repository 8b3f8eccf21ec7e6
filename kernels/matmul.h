// SPDX-License-Identifier: Apache-2.0
// Matrix product with optional transposes, and the linear layer's product with fused epilogue.
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/activation.h>

namespace limbeck {

enum class Trans { no, yes };

/// c (M,N) = op(a) (M,K) op(b) (K,N), written or added; op transposes when told to. One floating
/// dtype for a and b, and c of the same or, where that is f16 or bf16, of f32. f16 and bf16
/// accumulate in f32 and are rounded once, into c; f64 on the CPU only. c must not alias a or b. In
/// MathMode::exact on the CPU each c_ij is one FMA chain over k = 0..K-1 that starts at 0 (write)
/// or at c_ij (add), so with an f32 or f64 c a product added over row blocks of K equals the whole.
void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b,
            Out out = Out::write);

/// y (N,O) = act(x (N,I) w^T + bias), written; w (O,I), bias (O) or undefined. When `pre` is not
/// null, the value before the activation is written there too (what backward
/// needs if activation_saves_input).
void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act);

namespace cpu {
void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out);
void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act);
}  // namespace cpu
namespace cuda {
void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out);
void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act);
}  // namespace cuda

}  // namespace limbeck
