// SPDX-License-Identifier: Apache-2.0
// Two matrices compared through a polynomial kernel as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/gram_compare.h>

namespace limbeck {

/// The mean of (k(student) - k(teacher))^2 over all elements of student and teacher (N,M), of
/// one dtype, shape (1); kernels/gram_compare.h. The gradient reaches the student only and is
/// computed with the forward pass. With coefficients (0,1), the default, the mean squared error.
Variable gram_compare(const Variable& student, const Tensor& teacher,
                      const GramCompareOptions& options = {});

}  // namespace limbeck
