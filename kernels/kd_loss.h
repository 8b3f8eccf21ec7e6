// SPDX-License-Identifier: Apache-2.0
// The distillation loss of Hinton, Vinyals, Dean (2015): temperature-softmax of both models, KL,
// cross-entropy and the student's gradient in one pass over the logits.
#pragma once

#include <limits>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

/// What the loss is made of. Nothing here has a usable default except mean_over: the door says
/// which field was not set.
struct KdLossOptions {
  double tau = std::numeric_limits<double>::quiet_NaN();        ///< temperature, > 0
  double kd_weight = std::numeric_limits<double>::quiet_NaN();  ///< >= 0
  double ce_weight = std::numeric_limits<double>::quiet_NaN();  ///< >= 0; 0 needs no labels
  double mean_over = 0;  ///< as CrossEntropyOptions::mean_over
};

/// Per row, with ps = softmax(zs / tau), pt = softmax(zt / tau), q = softmax(zs):
///   row_loss = kd_weight tau^2 sum_v pt_v (log pt_v - log ps_v)  +  ce_weight (-log q_label)
///   dstudent = [ kd_weight tau (ps - pt) + ce_weight (q - onehot(label)) ] / mean_over
/// The factor tau^2 keeps the soft gradient's size independent of tau. KL is summed over classes
/// and never negative: with delta = (zt - zs)/tau, u = delta - log1p(sum ps expm1(delta)) = log pt
/// - log ps, it is computed as sum pt (expm1(-u) + u), so equal logits give exactly 0 at any tau.
/// student, teacher (N,V) of one floating dtype, V >= 1; labels (N) i32, or undefined when
/// ce_weight is 0; a row labelled kIgnoreIndex has loss and gradient exactly 0. row_loss (N) f32
/// (f64 for f64); dstudent like student, or undefined when not wanted. All written; dstudent may be
/// student.
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options);

namespace cpu {
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options);
}  // namespace cpu
namespace cuda {
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options);
}  // namespace cuda

}  // namespace limbeck
