// SPDX-License-Identifier: Apache-2.0
// What a batch's own labels teach.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/distill/batch_source.h>

namespace limbeck {

/// The labels of a part of a batch as rows (R).
Tensor label_rows(const Tensor& labels);

/// The cross-entropy (1) of logits (R,V) against a part's labels, smoothed by `smoothing` as in
/// kernels/cross_entropy.h, over the whole batch's part.targets. Of a mixture, label_weight times
/// that and 1 - label_weight times that of other_labels.
Variable label_loss(const Variable& logits, const Batch& part, double smoothing = 0);

}  // namespace limbeck
