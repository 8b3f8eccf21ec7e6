// SPDX-License-Identifier: Apache-2.0
// The output layers of both models and the distillation loss in one: from hidden states and head
// weights to the loss and the student's gradients, without ever holding whole logits.
#pragma once

#include <cstddef>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/kd_loss.h>

namespace limbeck {

struct KdHeadOptions {
  KdLossOptions loss;  ///< a mean over the rows of the whole call, not of a chunk
  /// The most bytes that the logits in memory, of student and teacher, may take. A chunk of fewer
  /// than about 1000 rows makes the chip wait for dweight, which each reads and writes, so this
  /// allows 1024 of 128256 classes in bf16.
  std::size_t logits_bytes = std::size_t{512} << 20;
};

/// Rows of logits held at a time: as many as fit into `logits_bytes` with V elements for student
/// and for teacher each, at least 1; from 128 on a multiple of 128 that makes the chunks of N rows
/// about equal.
std::int64_t kd_head_chunk_rows(std::int64_t N, std::int64_t V, DType dtype,
                                std::size_t logits_bytes);

/// With zs = student_hidden student_weight^T and zt = teacher_hidden teacher_weight^T, (N,V) in the
/// student's dtype, row_loss as kd_loss_forward_with_grad and, with dz its gradient,
///   dhidden = dz student_weight (N,Hs),  dweight = dz^T student_hidden (V,Hs).
/// Goes through the rows in chunks: both products, the loss in place over the student's logits,
/// then both gradients' products, dweight summed over the chunks. 2NV(3Hs+Ht) operations.
/// student_hidden (N,Hs), student_weight (V,Hs) of one floating dtype; teacher_hidden (N,Ht),
/// teacher_weight (V,Ht) of the same, or both of 16 bits to an f32 student; V, Hs, Ht >= 1. labels
/// (N) i32 or undefined, row_loss (N) and rows as in kd_loss_forward_with_grad. dhidden like
/// student_hidden; dweight f32 (f64 for f64), in which it is also summed; each undefined when not
/// wanted. All written; none may alias an input.
/// Besides inputs and outputs it holds options.logits_bytes, on a GPU cuBLASLt's workspace (up to
/// 32 MiB), on the CPU a few rows per thread and for 16-bit dtypes the f32 sums of 128 rows.
/// On the CPU in MathMode::exact no result depends on options.logits_bytes. On a GPU dweight does,
/// as its sum's order follows the chunks; the others can where cuBLASLt sums in another order for
/// another number of rows. A mean whose rows are counted here (loss.mean_over 0 and labels), and
/// one in f16, whose gradients it could take below the smallest number, divides the finished
/// gradients.
void kd_head_forward_with_grad(Tensor& row_loss, Tensor& dhidden, Tensor& dweight,
                               const Tensor& student_hidden, const Tensor& student_weight,
                               const Tensor& teacher_hidden, const Tensor& teacher_weight,
                               const Tensor& labels, const KdHeadOptions& options,
                               const KdLossRows& rows = {});

/// scale (1) f32 or f64 = 1 / (labels that are not kIgnoreIndex), 0 if there is none; written. On a
/// GPU f32.
void inverse_label_count(Tensor& scale, const Tensor& labels);

namespace cpu {
void inverse_label_count(Tensor& scale, const Tensor& labels);
}  // namespace cpu
namespace cuda {
void inverse_label_count(Tensor& scale, const Tensor& labels);
}  // namespace cuda

}  // namespace limbeck
