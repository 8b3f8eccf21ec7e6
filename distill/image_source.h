// SPDX-License-Identifier: Apache-2.0
// Images in memory as a source of batches.
#pragma once

#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/distill/image_mixture.h>
#include <limbeck/kernels/gather.h>

namespace limbeck {

/// How training images are varied; what is left as it is here does nothing.
struct Augment {
  ImageVariation vary = {};
  MixOptions mix = {};  ///< after that

  bool any() const {
    return vary.max_jitter > 0 || vary.flip || vary.brightness > 0 || vary.contrast > 0 ||
           mix.any();
  }
};

/// How images are gathered for optimiser step `step`.
GatherImagesOptions image_options(const Preprocess& input, const Augment& augment,
                                  std::uint64_t seed, const StepNumber& step);

/// Images (N,H,W,C) u8 or f32 and labels (N) i32, all on one device. A batch is gathered there,
/// with nothing read on the host.
class TensorSource : public BatchSource {
 public:
  /// Throws std::invalid_argument for other shapes or dtypes and options out of range.
  TensorSource(Tensor images, Tensor labels, std::int64_t classes, const Preprocess& input,
               const Augment& augment = {}, std::uint64_t seed = 0);
  std::int64_t size() const override { return images_.dim(0); }
  std::int64_t classes() const override { return classes_; }
  Device device() const override { return images_.device(); }
  bool augments() const override { return augment_.any(); }
  void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) override;
  Batch fetch(std::int64_t first, std::int64_t last, std::uint32_t step) override;
  /// Not where images are mixed: by how much is drawn on the host.
  bool gathers() const override { return !augment_.mix.any(); }
  Batch gather(const Tensor& samples, const StepNumber& step) override;

 private:
  Tensor images_, labels_, order_;
  std::int64_t classes_;
  Preprocess input_;
  Augment augment_;
  std::uint64_t seed_;
};

}  // namespace limbeck
