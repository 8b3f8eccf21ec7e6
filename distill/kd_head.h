// SPDX-License-Identifier: Apache-2.0
// The distillation loss of two models' last hidden states as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/kd_head.h>

namespace limbeck {

/// When the gradients of kd_head are computed.
enum class KdHeadGradient {
  in_forward,  ///< kept until backward, which only scales them by the upstream gradient
  recomputed   ///< by backward, from the hidden states: nothing is kept in between, and the logits
               ///< of both models are computed twice
};

/// kd_loss of the logits hidden weight^T and teacher_hidden teacher_weight^T, which are never held
/// whole (kernels/kd_head.h): shape (1), f32 (f64 for f64). hidden (N,Hs), weight (V,Hs);
/// teacher_hidden (N,Ht), teacher_weight (V,Ht); labels (N) i32, or undefined where the loss asks
/// for none. The gradient reaches hidden and weight. With loss.mean_over = 0 the labels are counted
/// on the host.
Variable kd_head(const Variable& hidden, const Variable& weight, const Tensor& teacher_hidden,
                 const Tensor& teacher_weight, const Tensor& labels, KdHeadOptions options,
                 KdHeadGradient gradient = KdHeadGradient::in_forward);

}  // namespace limbeck
