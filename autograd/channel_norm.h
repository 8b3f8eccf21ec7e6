// SPDX-License-Identifier: Apache-2.0
// Batch norm and group norm as differentiable ops. The last extent of x (...,C) is the channel.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// Statistics (C) that follow those of the batches, f32 (f64 for an x of f64).
struct RunningStatistics {
  Tensor mean, variance;
};

/// What follows a norm in the same op, with the bits of ops of their own and fewer passes over
/// memory: nothing, a relu, or an addition and a relu.
struct AfterNorm {
  bool relu = false;
  Variable skip = {};  ///< like x, added before the relu, which then must follow; or undefined
};

/// (x - mean) / sqrt(variance + eps) weight + bias per channel, with the statistics of all of x's
/// rows, of which there must be two; weight and bias (C), or undefined. Then, as PyTorch does,
/// running = (1 - momentum) running + momentum batch, whose variance is the unbiased one there; in
/// place, gradient or no gradient; undefined running statistics are left alone. Saves x, the
/// statistics and, after an addition, the result.
Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                    RunningStatistics running, double momentum = 0.1, double eps = 1e-5,
                    const AfterNorm& after = {});
/// The same with given statistics (C), constants that are copied for backward.
Variable frozen_batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                           const RunningStatistics& statistics, double eps = 1e-5,
                           const AfterNorm& after = {});
/// (x - mean) / sqrt(variance + eps) weight + bias with the statistics of each sample's groups of
/// channels; x (N,...,C), groups divides C (C of them: instance norm). Saves what batch_norm does.
Variable group_norm(const Variable& x, std::int64_t groups, const Variable& weight,
                    const Variable& bias, double eps = 1e-5, const AfterNorm& after = {});

}  // namespace limbeck
