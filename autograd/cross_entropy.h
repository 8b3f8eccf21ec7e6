// SPDX-License-Identifier: Apache-2.0
// Cross-entropy against class labels as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

/// The mean of -log softmax(logits)_label (smoothed as options say) over rows, shape (1), f32 (f64
/// for f64 logits): logits (N,V), labels (N) i32, rows labelled kIgnoreIndex left out. With
/// options.mean_over = 0 the labels are counted on the host. The gradient is computed with the
/// forward pass.
Variable cross_entropy(const Variable& logits, const Tensor& labels,
                       CrossEntropyOptions options = {});

}  // namespace limbeck
