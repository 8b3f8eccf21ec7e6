// SPDX-License-Identifier: Apache-2.0
// Numbers divided by their mean as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x over the mean of all its elements, kernels/unit_mean.h. Saves the result.
Variable unit_mean(const Variable& x);

}  // namespace limbeck
