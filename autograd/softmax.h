// SPDX-License-Identifier: Apache-2.0
// Softmax, at a temperature, as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// exp(x / tau) / sum exp(x / tau) over the last dimension of x (N,V); saves the result.
Variable softmax(const Variable& x, double tau = 1);

}  // namespace limbeck
