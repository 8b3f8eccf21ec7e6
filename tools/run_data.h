// SPDX-License-Identifier: Apache-2.0
// The data of a run: images with labels, or text.
#pragma once

#include <limbeck/tools/experiment.h>

namespace limbeck {

struct RunData {
  TrainTest images;
  std::optional<TextTrainTest> text = {};  ///< then there are no images

  Shape input() const;   ///< of one sample: (H,W,C) or (T)
  Shape output() const;  ///< of its logits: (V) or (T,V)
  std::string name() const;
  std::string train_digest() const, test_digest() const;
};

/// Loads what a run file names (tools/dataset.h, tools/text_dataset.h).
RunData load_run_data(const DataConfig& config);

/// Refuses what cannot work with this data before anything is trained: a model that does not fit
/// the samples or has not one output per class, means of other channels, classes that do not exist,
/// and of text what is only for images. Throws std::invalid_argument naming the place in the run
/// file.
void check_against_data(const Experiment& experiment, const RunData& data);

}  // namespace limbeck
