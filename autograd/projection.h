// SPDX-License-Identifier: Apache-2.0
// Random projections as differentiable ops; their matrices are fixed.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/dense_projection.h>
#include <limbeck/kernels/rademacher.h>
#include <limbeck/kernels/srht.h>

namespace limbeck {

/// (N,D) to (N,K) by random signs (kernels/rademacher_projection.h); saves nothing.
Variable rademacher_projection(const Variable& x, std::int64_t K, const RademacherMatrix& matrix);

/// (N,D) to (N,K) by the subsampled Hadamard transform (kernels/srht.h); saves nothing.
Variable srht(const Variable& x, const SrhtPlan& plan);

/// (N,D) to (N,K), or (N,2K) for cos_sin (kernels/dense_projection.h); saves the result for
/// cos_sin, the product for square.
Variable dense_projection(const Variable& x, const DenseProjection& p);

}  // namespace limbeck
