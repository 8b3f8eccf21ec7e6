// SPDX-License-Identifier: Apache-2.0
// One row for all rows, as differentiable ops.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// y_n = x_n + row for every n: x (N,...), row of as many elements as x_n.
Variable add_row(const Variable& x, const Variable& row);

/// y (N,...): N times row (...).
Variable repeat_row(const Variable& row, std::int64_t N);

}  // namespace limbeck
