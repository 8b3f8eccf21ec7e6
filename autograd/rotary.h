// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/rotary.h>

namespace limbeck {

/// The first `heads` heads of x (N,T,*,D) turned by the table's angles (see kernels/rotary.h),
/// which get no gradient. Saves the table only.
Variable rotary(const Variable& x, const Tensor& table, std::int64_t heads);

}  // namespace limbeck
