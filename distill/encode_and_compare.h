// SPDX-License-Identifier: Apache-2.0
// The code loss as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/encode_and_compare.h>

namespace limbeck {

/// The mean over rows of w/K |code(student) - code(teacher)|^2 (kernels/encode_and_compare.h),
/// shape (1), f32 (f64 for f64). student (N,Ds); teacher (N,Dt) a tap, or with GivenCode a stored
/// code (N,K); one of another dtype is converted first. row_weight (N) f32 (f64 for f64) or
/// undefined. The gradient reaches the student only and is computed with the forward pass. A
/// trainable adapter A (K,Ds) of the student is a layer before it: give matmul(student, A^T) as
/// GivenCode. Where teacher_code is not null, the teacher's code (N,K) is left there, f32 (f64 for
/// f64): a later epoch may give it in the tap's place.
Variable encode_and_compare(const Variable& student, const Tensor& teacher,
                            const EncodeAndCompareOptions& options, const Tensor& row_weight = {},
                            Tensor* teacher_code = nullptr);

}  // namespace limbeck
