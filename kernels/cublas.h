// SPDX-License-Identifier: Apache-2.0
// Internal, GPU builds only: matrix products from cuBLASLt. The emulated GPU answers these calls
// with the CPU twins (tests/simt).
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck::cublas {

/// As limbeck::matmul, for M, N, K >= 1.
void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out);

/// y (N,O) = x (N,I) w^T + bias, written, and with `relu` the maximum of that and 0, in one launch;
/// w (O,I), bias (O) or undefined; N, O, I >= 1.
void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu);

}  // namespace limbeck::cublas
