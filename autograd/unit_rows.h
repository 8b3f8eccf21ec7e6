// SPDX-License-Identifier: Apache-2.0
// Directions of rows as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x / |x| per row of x (N,D), kernels/unit_rows.h; a row of length 0 stays 0 and gets no gradient.
/// Saves the result.
Variable unit_rows(const Variable& x);

}  // namespace limbeck
