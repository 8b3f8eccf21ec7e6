// SPDX-License-Identifier: Apache-2.0
// The distillation loss as a differentiable op, fused and composed.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/kd_loss.h>

namespace limbeck {

/// The mean over rows of the loss of kernels/kd_loss.h, shape (1), f32 (f64 for f64 logits).
/// student, teacher (N,V) logits; labels (N) i32, or undefined when no term needs them; rows
/// labelled kIgnoreIndex are left out. The gradient reaches the student only and is computed with
/// the forward pass. With options.mean_over = 0 the labels are counted on the host.
Variable kd_loss(const Variable& student, const Tensor& teacher, const Tensor& labels,
                 KdLossOptions options);

/// KL and cross-entropy, its only terms, written with ordinary ops as the formula reads: many
/// passes over the logits and none of kd_loss's care for tiny divergences. What kd_loss is tested
/// and timed against.
Variable kd_loss_composed(const Variable& student, const Tensor& teacher, const Tensor& labels,
                          const KdLossOptions& options);

}  // namespace limbeck
