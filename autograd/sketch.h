// SPDX-License-Identifier: Apache-2.0
// Count sketch and tensor sketch as differentiable ops.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/count_sketch.h>
#include <limbeck/kernels/tensor_sketch.h>

namespace limbeck {

/// The count sketch (N,K) of x (N,D), kernels/count_sketch.h; saves nothing.
Variable count_sketch(const Variable& x, const CountSketchPlan& plan);

/// The tensor sketch (N,K) of x (N,D), kernels/tensor_sketch.h; saves x.
Variable tensor_sketch(const Variable& x, const TensorSketchPlan& plan);

}  // namespace limbeck
