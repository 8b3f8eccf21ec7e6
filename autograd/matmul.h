// SPDX-License-Identifier: Apache-2.0
// The matrix product as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {

/// op(a) (M,K) op(b) (K,N), op transposing when told to. Saves a and b.
Variable matmul(const Variable& a, Trans trans_a, const Variable& b, Trans trans_b);

}  // namespace limbeck
