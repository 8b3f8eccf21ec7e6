// SPDX-License-Identifier: Apache-2.0
// The distillation loss against a stored sparse teacher as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/kd_topk.h>

namespace limbeck {

/// The mean over rows of the loss of kernels/kd_topk.h, shape (1), f32 (f64 for f64 logits).
/// student (N,V) logits; labels (N) i32, or undefined when ce_weight is 0; rows labelled
/// kIgnoreIndex are left out. The gradient reaches the student only and is computed with the
/// forward pass. With options.mean_over = 0 the labels are counted on the host.
Variable kd_topk(const Variable& student, const SparseTeacher& teacher, const Tensor& labels,
                 KdLossOptions options);

}  // namespace limbeck
