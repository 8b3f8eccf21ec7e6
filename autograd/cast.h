// SPDX-License-Identifier: Apache-2.0
// Another dtype as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x in another floating dtype, rounded to nearest even; x itself where it has that dtype. The
/// gradient is rounded to x's dtype.
Variable cast(const Variable& x, DType dtype);

}  // namespace limbeck
