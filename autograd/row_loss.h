// SPDX-License-Identifier: Apache-2.0
// What losses that are a mean over rows share: the scalar and its place on the tape.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// Rows a mean is over when the caller named none: those of `labels` (N) i32 that are not
/// kIgnoreIndex, or all N when labels is undefined; at least 1. Reads the labels on the host.
double counted_rows(const Tensor& labels, std::int64_t N);

/// The loss sum_n row_loss_n / mean_over, shape (1), rows summed in their order. `dlogits` is its
/// gradient, computed with the forward pass (undefined when logits need none); backward only scales
/// it by the upstream gradient, read on the device.
Variable row_loss(const char* op, const Variable& logits, const Tensor& row_loss,
                  const Tensor& dlogits, double mean_over);

}  // namespace limbeck
