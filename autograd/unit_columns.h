// SPDX-License-Identifier: Apache-2.0
// Channel maps scaled to length 1 as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x (N,P,C) with every column over p scaled to length 1, kernels/unit_columns.h; a column of
/// length 0 stays 0 and gets no gradient. Saves the result.
Variable unit_columns(const Variable& x);

}  // namespace limbeck
