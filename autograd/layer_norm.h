// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm as differentiable ops.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// (x - mean) / sqrt(variance + eps) weight + bias over the last dimension of x (...,C); weight and
/// bias (C), or undefined. Saves x and two numbers per row. The gradients of weight and bias are
/// added to their buffers by the kernels, so on the CPU micro-batches that follow each other give
/// the same bits as the whole batch.
Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias,
                    double eps = 1e-5);
/// x / sqrt(mean of x^2 + eps) weight; otherwise as layer_norm.
Variable rms_norm(const Variable& x, const Variable& weight, double eps);

}  // namespace limbeck
