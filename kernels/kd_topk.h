// SPDX-License-Identifier: Apache-2.0
// The distillation loss against a stored sparse teacher: some logits of each row and what all
// others weigh together.
#pragma once

#include <limbeck/kernels/kd_loss.h>

namespace limbeck {

/// What kernels/topk.h takes from a teacher's logits, though the classes need not be the largest.
struct SparseTeacher {
  Tensor indices;   ///< (N,K) i32, K <= 1024: the stored classes, distinct in a row, in any order
  Tensor logits;    ///< (N,K) f32 (f64 for f64 students): their logits; -inf is a probability of 0
  Tensor rest_lse;  ///< (N) like logits: log sum exp(z / tau) over the others, at the loss's tau;
                    ///< not read when K = V, where there are none
};

/// Per row, over K + 1 outcomes, the stored classes k and "any other class", with ps = softmax(zs /
/// tau) of the student, pt of the teacher and q = softmax(zs):
///   row_loss = kd_weight tau^2 [ sum_k pt_k (log pt_k - log ps_k)
///                                + pt_rest (log pt_rest - log ps_rest) ] + ce_weight (-log q_y)
///   dstudent = [ kd_weight tau (ps_v - pt_v), or ps_v (1 - pt_rest / ps_rest) for v not stored,
///                + ce_weight (q_v - onehot(y)_v) ] / mean_over
/// This divergence is never negative and at most that of the whole vocabulary, which it is when K =
/// V. Arguments are those of kd_loss_forward_with_grad; of the options' other weights none may be
/// set. All written; dstudent may be student.
///
/// In f32 loss and gradient are within 2e-6 of the largest for tau from 0.5 to 1000 and logits to
/// 1e4, as long as the models' logits differ by some 0.05 tau. Of closer ones the rest tells less:
/// its log-weights are a sum's, not differences of logits. The student's is computed to some 2e-8;
/// the teacher's, rest_lse, is taken as it is, but was rounded when it was stored, by up to
/// |rest_lse| 6e-8. Where it is the student's own, rounded alike, the two are equal: so what topk()
/// on the same device takes from the student's own logits gives exactly 0.
///
/// A row is NaN when a student's logit, a stored logit or rest_lse is NaN or +inf, or all of a
/// model are -inf. Indices are checked on the CPU; on a GPU one out of range makes its row NaN, and
/// one that is there twice gives that row a wrong result. Reads the student twice, the second time
/// mostly from the cache, and writes it once.
void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& options);

namespace cpu {
void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& options);
}  // namespace cpu
namespace cuda {
void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& options);
}  // namespace cuda

}  // namespace limbeck
