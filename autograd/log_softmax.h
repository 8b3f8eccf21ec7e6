// SPDX-License-Identifier: Apache-2.0
// Log-softmax as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x - log sum exp(x) over the last dimension of x (N,V); saves the result.
Variable log_softmax(const Variable& x);

}  // namespace limbeck
