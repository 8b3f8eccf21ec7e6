// SPDX-License-Identifier: Apache-2.0
// Differentiable arithmetic and sums.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// Elementwise, equal shapes and dtypes.
Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);  ///< a - b
Variable mul(const Variable& a, const Variable& b);  ///< saves a and b
/// alpha x.
Variable scale(const Variable& x, double alpha);
/// e^x; saves the result.
Variable exp(const Variable& x);
/// One element (shape (1)): the sum of all elements, or that divided by their number (at least
/// one). f32 for bf16 and f16.
Variable sum(const Variable& x);
Variable mean(const Variable& x);

}  // namespace limbeck
