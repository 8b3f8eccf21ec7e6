// SPDX-License-Identifier: Apache-2.0
// What a step multiplies its gradients by: clipping by their global norm, and loss scaling for f16.
#pragma once

#include <limits>
#include <span>

#include <limbeck/core/tensor.h>

namespace limbeck {

struct GradScaleOptions {
  double max_norm = std::numeric_limits<double>::infinity();  ///< > 0; of all gradients together
  /// (1) like factor: what the loss was multiplied by, and the gradients with it. Undefined: 1.
  Tensor loss_scale = {};
};

/// norm = sqrt(sum over all elements of (g / loss_scale)^2),
/// factor = min(1, max_norm / (norm + 1e-6)) / loss_scale (as PyTorch's clip_grad_norm_),
/// or NaN where the norm is not finite, so that an optimiser given this factor skips the step. A
/// sum of squares beyond the range of f32 (gradients near 1e19) counts as not finite.
/// grads: any shapes, one floating dtype and device, read only. norm, factor: (1), f32 or, for f64
/// gradients, f64; written on the gradients' device without a host read. Sums in index order.
void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options);

struct LossScaleOptions {
  double growth = 2;                    ///< >= 1
  double backoff = 0.5;                 ///< 0 < backoff <= 1
  std::int64_t growth_interval = 2000;  ///< >= 1
};

/// Dynamic loss scaling, from the norm that grad_scale left. scale, streak: (1) f32, updated in
/// place on their device. A norm that is not finite: scale *= backoff, streak = 0. Otherwise streak
/// counts up to growth_interval; then scale *= growth, and it starts anew.
/// Micikevicius et al., Mixed Precision Training (2018), section 3.2.
void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& options);

namespace cpu {
void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options);
void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& options);
}  // namespace cpu
namespace cuda {
void grad_scale(Tensor& factor, Tensor& norm, std::span<const Tensor> grads,
                const GradScaleOptions& options);
void update_loss_scale(Tensor& scale, Tensor& streak, const Tensor& norm,
                       const LossScaleOptions& options);
}  // namespace cuda

}  // namespace limbeck
