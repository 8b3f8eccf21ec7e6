// SPDX-License-Identifier: Apache-2.0
// Enlarging images as a differentiable op, NHWC.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/upsample.h>

namespace limbeck {

/// x (N,H,W,C) to upsample_output_shape(x), kernels/upsample.h's; saves nothing.
Variable upsample(const Variable& x, const UpsampleOptions& options);

}  // namespace limbeck
