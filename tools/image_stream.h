// SPDX-License-Identifier: Apache-2.0
// Image files as a source of batches, decoded while training goes on.
#pragma once

#include <memory>

#include <limbeck/distill/image_source.h>
#include <limbeck/tools/image_folder.h>
#include <limbeck/tools/read_ahead.h>

namespace limbeck {

/// The batches that a TensorSource of the same images, decoded, has: the same bits, for any number
/// of threads. A file that cannot be decoded any more makes fetch throw IoError.
class ImageStream : public BatchSource {
 public:
  /// threads: those that decode; 0: as many as num_threads().
  ImageStream(std::shared_ptr<const ImageFolder> folder, Device device, const Preprocess& input,
              const Augment& augment = {}, std::uint64_t seed = 0, int threads = 0);
  std::int64_t size() const override { return static_cast<std::int64_t>(folder_->files.size()); }
  std::int64_t classes() const override {
    return static_cast<std::int64_t>(folder_->classes.size());
  }
  Device device() const override { return device_; }
  bool augments() const override { return augment_.any(); }
  void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) override;
  Batch fetch(std::int64_t first, std::int64_t last, std::uint32_t step) override;

 private:
  std::shared_ptr<const ImageFolder> folder_;
  Device device_;
  Preprocess input_;
  Augment augment_;
  std::uint64_t seed_;
  std::vector<std::int32_t> order_;
  ReadAhead images_;
};

}  // namespace limbeck
