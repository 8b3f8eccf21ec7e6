// SPDX-License-Identifier: Apache-2.0
// Pointwise activations as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/activation.h>

namespace limbeck {

/// act(x), any shape; x itself for Activation::none. Saves x if
/// activation_saves_input, else the result.
Variable activation(const Variable& x, Activation act);

}  // namespace limbeck
