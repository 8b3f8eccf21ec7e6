// SPDX-License-Identifier: Apache-2.0
// Joining along an axis, and taking parts, as differentiable ops.
#pragma once

#include <vector>

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// The parts one after the other along axis (-1: the last, 0: rows); all other extents, dtypes and
/// devices are equal.
Variable concat(const std::vector<Variable>& parts, int axis);

/// x[..., begin : end, ...] along axis, a copy; the gradient elsewhere is 0.
Variable slice(const Variable& x, int axis, std::int64_t begin, std::int64_t end);

/// What concat along axis makes x of again, in parts of the given sizes, which add up to x's.
std::vector<Variable> split(const Variable& x, const std::vector<std::int64_t>& sizes, int axis);

}  // namespace limbeck
