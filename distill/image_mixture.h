// SPDX-License-Identifier: Apache-2.0
// Batches of images mixed with themselves: mixup and CutMix.
#pragma once

#include <limbeck/distill/batch_source.h>
#include <limbeck/kernels/mix_images.h>

namespace limbeck {

/// alpha of the Beta(alpha, alpha) that a batch's weight is drawn from; 0: never. With both, every
/// batch is mixed in one of the two ways, with even odds.
struct MixOptions {
  double mixup = 0;  ///< Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization
  double cutmix =
      0;  ///< Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers

  bool any() const { return mixup > 0 || cutmix > 0; }
};

/// What optimiser step `step` does to images of H x W, a function of the arguments alone: one
/// weight for the whole batch. CutMix's window has sides of sqrt(1 - weight) of the image's about
/// a cell drawn from all, and is cut off at the edges.
ImageMixture draw_mixture(const MixOptions& options, std::int64_t H, std::int64_t W,
                          std::uint64_t seed, std::uint32_t step);

/// Mixes batch.x so with the same images in an order drawn from (seed, step), and sets
/// other_labels and label_weight. Nothing without options. Throws std::invalid_argument for an
/// alpha < 0.
void mix_batch(Batch& batch, const MixOptions& options, std::uint64_t seed, std::uint32_t step);

}  // namespace limbeck
