// SPDX-License-Identifier: Apache-2.0
// Cross-entropy of logits against class labels, with its gradient in the same pass.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// A label with this value takes no part in loss or gradient.
inline constexpr std::int32_t kIgnoreIndex = -100;

struct CrossEntropyOptions {
  /// Rows the loss is a mean over. A micro-batch names the whole batch's rows here, so that the
  /// gradients of its parts add up to the whole's. 0: the rows of this call whose label counts.
  double mean_over = 0;
  /// Share s of the target that all classes have alike (Szegedy et al. 2016), 0 <= s < 1.
  double label_smoothing = 0;
};

/// row_loss_n = logsumexp_v(z_nv) - z_n,label(n), or 0 for an ignored row (not divided by
/// mean_over); dlogits = (softmax(z) - onehot(label)) / mean_over, exactly 0 in ignored rows.
/// With s = label_smoothing the target is q = (1-s) onehot(label) + s/V: row_loss = logsumexp(z) -
/// sum_v q_v z_v, which is (1-s) times the above plus s times the mean of -log p, and dlogits =
/// (softmax(z) - q) / mean_over. logits (N,V) floating, labels (N) i32, row_loss (N) f32 (f64 for
/// f64 logits), dlogits like logits or undefined when not wanted. All written; dlogits may be
/// logits. A label outside [0,V) that is not kIgnoreIndex throws std::invalid_argument on the CPU
/// and gives a NaN row loss on a GPU.
void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options);

namespace cpu {
void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options);
}  // namespace cpu
namespace cuda {
void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options);
}  // namespace cuda

}  // namespace limbeck
