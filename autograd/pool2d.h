// SPDX-License-Identifier: Apache-2.0
// 2-D pooling as differentiable ops, images in NHWC.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/pool2d.h>

namespace limbeck {

/// Maximum over each window; saves the positions of the winners.
Variable max_pool2d(const Variable& x, const Pool2dOptions& options);
/// Mean over the cells of each window that lie inside the image; saves nothing.
Variable avg_pool2d(const Variable& x, const Pool2dOptions& options);

}  // namespace limbeck
