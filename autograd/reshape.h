// SPDX-License-Identifier: Apache-2.0
// The same elements under another shape, as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x with another shape of as many elements; shares x's memory.
Variable reshape(const Variable& x, const Shape& shape);

}  // namespace limbeck
