// SPDX-License-Identifier: Apache-2.0
// Directions and lengths of rows as differentiable ops.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x / |x| per row of x (N,D), kernels/unit_rows.h; a row of length 0 stays 0 and gets no gradient.
/// Saves the result.
Variable unit_rows(const Variable& x);

/// |x| per row of x (N,D): (N), f32 (f64 for f64). The gradient at a row of length 0 is 0. Saves
/// the directions.
Variable row_norms(const Variable& x);

}  // namespace limbeck
