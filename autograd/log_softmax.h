// SPDX-License-Identifier: Apache-2.0
// Log-softmax, at a temperature, as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x / tau - log sum exp(x / tau) over the last dimension of x (N,V); saves the result.
Variable log_softmax(const Variable& x, double tau = 1);

}  // namespace limbeck
