// SPDX-License-Identifier: Apache-2.0
// Average pooling to a given size as a differentiable op, images in NHWC.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// x (N,H,W,C) to (N,height,width,C), kernels/adaptive_avg_pool2d.h's; saves nothing. 1x1 is the
/// global average.
Variable adaptive_avg_pool2d(const Variable& x, std::int64_t height, std::int64_t width);

}  // namespace limbeck
