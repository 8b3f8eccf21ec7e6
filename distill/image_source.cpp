// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/image_source.h>

#include <limbeck/core/error.h>

namespace limbeck {

GatherImagesOptions image_options(const Preprocess& input, const Augment& augment,
                                  std::uint64_t seed, const StepNumber& step) {
  return {.scale = input.scale,
          .shift = input.shift,
          .vary = augment.vary,
          .stream = {seed, static_cast<std::uint32_t>(step.value), 0, RngPurpose::augment, step.at},
          .mean = input.mean,
          .std = input.std};
}

TensorSource::TensorSource(Tensor images, Tensor labels, std::int64_t classes,
                           const Preprocess& input, const Augment& augment, std::uint64_t seed)
    : images_(std::move(images)),
      labels_(std::move(labels)),
      classes_(classes),
      input_(input),
      augment_(augment),
      seed_(seed) {
  LIMBECK_CHECK(images_.rank() == 4 && labels_.shape() == Shape{images_.dim(0)},
                "TensorSource: images have shape ", images_.shape(), ", labels ", labels_.shape(),
                "; expected (N,H,W,C) and (N)");
}

void TensorSource::begin_epoch(std::vector<std::int32_t> order, std::uint32_t) {
  order_ = Tensor::from(order, {static_cast<std::int64_t>(order.size())}, device());
}

Batch TensorSource::fetch(std::int64_t first, std::int64_t last, std::uint32_t step) {
  Batch batch = gather(order_.rows(first, last), step);
  mix_batch(batch, augment_.mix, seed_, step);
  return batch;
}

Batch TensorSource::gather(const Tensor& samples, const StepNumber& step) {
  const std::int64_t B = samples.dim(0);
  Batch batch;
  batch.samples = samples;
  batch.targets = static_cast<double>(B);
  batch.x =
      Tensor::empty({B, images_.dim(1), images_.dim(2), images_.dim(3)}, DType::f32, device());
  gather_images(batch.x, images_, batch.samples, image_options(input_, augment_, seed_, step));
  batch.labels = Tensor::empty({B}, DType::i32, device());
  gather_rows(batch.labels, labels_, batch.samples);
  return batch;
}

}  // namespace limbeck
