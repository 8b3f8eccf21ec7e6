// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/image_stream.h>

#include <numeric>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>

namespace limbeck {

ImageStream::ImageStream(std::shared_ptr<const ImageFolder> folder, Device device,
                         const Preprocess& input, const Augment& augment, std::uint64_t seed,
                         int threads)
    : folder_(std::move(folder)),
      device_(device),
      input_(input),
      augment_(augment),
      seed_(seed),
      images_(
          folder_->image_bytes(),
          [files = folder_](std::int32_t i, std::uint8_t* pixels) { files->load(i, pixels); },
          threads > 0 ? threads : num_threads()) {}

void ImageStream::begin_epoch(std::vector<std::int32_t> order, std::uint32_t) {
  for (const std::int32_t i : order)
    LIMBECK_CHECK(0 <= i && i < size(), "ImageStream: sample ", i, "; expected 0 <= sample < ",
                  size());
  order_ = order;
  images_.begin(std::move(order));
}

Batch ImageStream::fetch(std::int64_t first, std::int64_t last, std::uint32_t step) {
  const std::int64_t B = last - first;
  const FolderImages& images = folder_->images;
  const Shape shape = {B, images.size.height, images.size.width, images.channels};
  Tensor pixels = Tensor::empty(shape, DType::u8);
  images_.take(static_cast<std::size_t>(first), static_cast<std::size_t>(last),
               pixels.data<std::uint8_t>());
  const std::vector<std::int32_t> samples(order_.begin() + first, order_.begin() + last);
  std::vector<std::int32_t> rows(samples.size()), labels;
  std::iota(rows.begin(), rows.end(), 0);
  for (const std::int32_t i : samples)
    labels.push_back(folder_->labels[static_cast<std::size_t>(i)]);
  Batch batch;
  batch.samples = Tensor::from(samples, {B}, device_);
  batch.labels = Tensor::from(labels, {B}, device_);
  batch.targets = static_cast<double>(B);
  batch.x = Tensor::empty(shape, DType::f32, device_);
  gather_images(batch.x, pixels.to(device_), Tensor::from(rows, {B}, device_),
                image_options(input_, augment_, seed_, step));
  mix_batch(batch, augment_.mix, seed_, step);
  return batch;
}

}  // namespace limbeck
