// SPDX-License-Identifier: Apache-2.0
// The fully connected layer as one differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/activation.h>

namespace limbeck {

/// act(x w^T + bias): x (N,I), w (O,I), bias (O) or undefined; result (N,O). Saves x, w and the
/// output, or the value before the activation if activation_saves_input. The gradients of w and
/// bias are added to their buffers by the kernels themselves, so in MathMode::exact on the CPU
/// micro-batches that follow each other give the same bits as the whole batch.
Variable linear(const Variable& x, const Variable& w, const Variable& bias,
                Activation act = Activation::none);

/// Internal: linear()'s result y, computed elsewhere, with its gradients; pre is the value before
/// the activation if activation_saves_input and it is recorded.
Variable record_linear(const Variable& x, const Variable& w, const Variable& bias, Activation act,
                       Tensor y, const Tensor& pre);

}  // namespace limbeck
