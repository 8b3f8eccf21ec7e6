// SPDX-License-Identifier: Apache-2.0
// Dropout as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/dropout.h>

namespace limbeck {

/// x mask / (1 - p); x itself for p = 0. Saves nothing: backward draws the same mask again.
Variable dropout(const Variable& x, const DropoutOptions& options);

}  // namespace limbeck
