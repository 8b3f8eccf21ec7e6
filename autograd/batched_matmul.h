// SPDX-License-Identifier: Apache-2.0
// A matrix product for each sample as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {

/// c_n = op(a_n) op(b_n): a (N,..,..) and b (N,..,..) hold a matrix per sample, op transposes when
/// told to. One matmul (kernels/matmul.h) per sample, of which the CPU does several at a time.
/// Saves a and b, which may be the same.
Variable batched_matmul(const Variable& a, Trans trans_a, const Variable& b, Trans trans_b);

}  // namespace limbeck
