// SPDX-License-Identifier: Apache-2.0
// Labelled images for training and testing, from a folder or built in.
#pragma once

#include <cstdint>
#include <string>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Images with labels, on the CPU.
struct Dataset {
  Tensor images;  ///< (N,H,W,C) u8
  Tensor labels;  ///< (N) i32, each in [0, classes)
  int classes = 0;
  std::string name;
  std::string digest;  ///< of the images' and labels' shapes and contents (tools/digest.h)
};

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

/// `source` is "synthetic-digits" (tools/synthetic_digits.h), or a folder that holds MNIST's four
/// files under their official names, each with or without .gz. Throws IoError in one line naming
/// the file: missing, malformed (tools/idx.h), or counts of images and labels that disagree.
TrainTest load_dataset(const std::string& source, const SyntheticOptions& synthetic = {});

}  // namespace limbeck
