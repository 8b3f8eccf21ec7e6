// SPDX-License-Identifier: Apache-2.0
// Sums of squares over rows as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// sum_c x_nc^2 of x (N,C): (N), f32 (f64 for f64). Saves x.
Variable row_squares(const Variable& x);

}  // namespace limbeck
