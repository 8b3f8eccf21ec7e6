// SPDX-License-Identifier: Apache-2.0
// One vector for a sequence of them, as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/token_pool.h>

namespace limbeck {

/// (N,T,D) to (N,D), as token_pool_forward (kernels/token_pool.h); lengths (N) i32 may be
/// undefined.
Variable token_pool(const Variable& x, const Tensor& lengths, TokenPool pool);

}  // namespace limbeck
