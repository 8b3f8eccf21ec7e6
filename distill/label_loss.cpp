// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/label_loss.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/cross_entropy.h>

namespace limbeck {

Tensor label_rows(const Tensor& labels) { return labels.reshape({labels.numel()}); }

Variable label_loss(const Variable& logits, const Batch& part, double smoothing) {
  const auto loss_of = [&](const Tensor& labels) {
    return cross_entropy(logits, label_rows(labels),
                         {.mean_over = part.targets, .label_smoothing = smoothing});
  };
  Variable own = loss_of(part.labels);
  if (!part.other_labels.defined()) return own;
  return add(scale(own, part.label_weight),
             scale(loss_of(part.other_labels), 1 - part.label_weight));
}

}  // namespace limbeck
