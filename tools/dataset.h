// SPDX-License-Identifier: Apache-2.0
// Labelled images for training and testing, from a folder or built in.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <limbeck/distill/image_source.h>
#include <limbeck/tools/image_folder.h>

namespace limbeck {

/// Images with labels, on the CPU; the images in memory or in files.
struct Dataset {
  Tensor images;  ///< (N,H,W,C) u8 or f32; undefined where they are in files
  Tensor labels;  ///< (N) i32, each in [0, classes)
  int classes = 0;
  std::string name;
  std::string digest;  ///< of the images' and labels' shapes and contents (tools/digest.h)
  std::shared_ptr<const ImageFolder> files = nullptr;

  Shape image_shape() const;  ///< (H,W,C)
  /// With what is in memory moved to `device`.
  Dataset on(Device device) const;
  /// Batches on `device`: of the images in memory, which must lie there, or decoded as they come.
  std::unique_ptr<BatchSource> source(Device device, const Preprocess& input,
                                      const Augment& augment = {}, std::uint64_t seed = 0) const;
};

/// A data set that these make up, with its digest.
Dataset make_dataset(std::string name, Tensor images, Tensor labels, int classes);

struct TrainTest {
  Dataset train;
  Dataset test;
};

/// How much of the built-in data to draw; folders are read whole and ignore it.
struct SyntheticOptions {
  std::int64_t train_samples = 60000;
  std::int64_t test_samples = 10000;
  std::uint64_t seed = 0;
};

/// How the files of a folder are read.
struct FolderOptions {
  std::string format = "idx";  ///< idx, cifar10, cifar100, npy or folder
  FolderImages images = {};    ///< of format folder
};

/// `source` is "synthetic-digits" (tools/synthetic_digits.h), or a folder that holds, by format,
///   idx       MNIST's four files under their official names, each with or without .gz
///   cifar10   data_batch_1.bin to data_batch_5.bin and test_batch.bin (tools/cifar.h)
///   cifar100  train.bin and test.bin
///   npy       train_images.npy, train_labels.npy, test_images.npy, test_labels.npy (tools/npy.h):
///             images (N,H,W) or (N,H,W,C) of u1, f2, f4 or f8, of which all but u1 are kept as
///             f32; labels (N) of u1, i4 or i8. Training labels name every class from 0 to the
///             last.
///   folder    train/<class>/ and test/<class>/ with JPEG and PNG files (tools/image_folder.h),
///   which
///             are decoded while training goes on
/// Throws IoError in one line naming the file: missing, malformed, of another shape or dtype, or
/// counts of images and labels that disagree; std::invalid_argument for an unknown format.
TrainTest load_dataset(const std::string& source, const SyntheticOptions& synthetic = {},
                       const FolderOptions& folder = {});

}  // namespace limbeck
