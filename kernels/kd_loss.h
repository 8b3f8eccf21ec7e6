// SPDX-License-Identifier: Apache-2.0
// Distillation losses of two matrices of logits: temperature-softmax of both models, their
// divergences, cross-entropy and the student's gradient in one pass over the logits.
#pragma once

#include <limits>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

/// What the loss is made of: each weight, >= 0, times its term; 0 leaves the term out. tau,
/// kd_weight and ce_weight have no usable default: the door says which was not set.
struct KdLossOptions {
  double tau = std::numeric_limits<double>::quiet_NaN();        ///< temperature, 1e-6 to 1e6
  double kd_weight = std::numeric_limits<double>::quiet_NaN();  ///< of KL(teacher || student)
  double ce_weight = std::numeric_limits<double>::quiet_NaN();  ///< of the labels' cross-entropy
  double mean_over = 0;          ///< as CrossEntropyOptions::mean_over
  double reverse_kl_weight = 0;  ///< of KL(student || teacher)
  double jsd_weight = 0;         ///< of the generalised Jensen-Shannon divergence
  double jsd_beta = std::numeric_limits<double>::quiet_NaN();  ///< in (0,1), for jsd_weight
  double tvd_weight = 0;                                       ///< of the total variation distance
  double tckd_weight = 0;  ///< of DKD's target-class part, alpha of its paper
  double nckd_weight = 0;  ///< of DKD's part among the other classes, beta of its paper
};

/// Tensors with one number per row, (N) f32 (f64 for f64 logits); an undefined one is not read or
/// written. lse = log sum_v exp(z_v / tau), entropy = -sum_v p_v log p_v at tau.
struct KdLossRows {
  Tensor weight;  ///< read: >= 0, multiplies the row's loss and gradient; 0 acts as kIgnoreIndex
  Tensor student_lse, teacher_lse, student_entropy, teacher_entropy;
  Tensor agreement;  ///< 1 where both models have the same first largest logit, else 0
};

/// Per row, with ps = softmax(zs / tau), pt = softmax(zt / tau), q = softmax(zs), y the label:
///   row_loss = weight { ce_weight (-log q_y)  +  tau^2 [
///       kd_weight         sum_v pt_v (log pt_v - log ps_v)               Hinton et al. 2015
///     + reverse_kl_weight sum_v ps_v (log ps_v - log pt_v)
///     + jsd_weight        (beta KL(pt || m) + (1-beta) KL(ps || m)),  m = beta pt + (1-beta) ps
///                                                                    Agarwal et al. 2024, GKD
///     + tvd_weight        1/2 sum_v |ps_v - pt_v|
///     + tckd_weight       KL((pt_y, 1-pt_y) || (ps_y, 1-ps_y))        Zhao et al. 2022, DKD
///     + nckd_weight       KL(pt without y, renormalised || ps without y, renormalised) ] }
///   dstudent = d row_loss / d zs / mean_over
/// so that kd_weight alone gives tau (ps - pt). The factor tau^2 keeps the soft gradient's size
/// independent of tau. No divergence is ever negative, and equal logits give exactly 0 at any tau:
/// all are computed from u = log pt - log ps in forms in which nothing cancels.
/// student, teacher (N,V) of one floating dtype, 1 <= V; labels (N) i32, or undefined when neither
/// ce_weight nor DKD asks for them; a row labelled kIgnoreIndex has loss and gradient exactly 0,
/// whatever its logits. row_loss (N) f32 (f64 for f64); dstudent like student, or undefined when
/// not wanted. All written; dstudent may be student. A logit of -inf is a class of probability 0
/// (an infinite divergence stays infinite); NaN, +inf and a row of nothing but -inf give a NaN loss
/// and gradient in their own row.
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options, const KdLossRows& rows = {});

namespace cpu {
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options, const KdLossRows& rows);
}  // namespace cpu
namespace cuda {
void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options, const KdLossRows& rows);
}  // namespace cuda

}  // namespace limbeck
