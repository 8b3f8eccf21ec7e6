// SPDX-License-Identifier: Apache-2.0
// The gate of a feed-forward block as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// silu(a) b, elementwise, equal shapes; saves a and b.
Variable swiglu(const Variable& a, const Variable& b);

}  // namespace limbeck
