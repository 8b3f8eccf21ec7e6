// SPDX-License-Identifier: Apache-2.0
// A model from its weights: our own files say what model they are of; others need a model file.
#pragma once

#include <memory>
#include <string>

#include <limbeck/distill/evaluate.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// Where a model comes from; empty: there is no such file.
struct ModelFiles {
  std::string weights;  ///< safetensors
  std::string model;    ///< JSON file {"layers": [...]} for weights that do not say
  std::string names;    ///< name map (tools/name_map_json.h) for weights made elsewhere
};

struct LoadedModel {
  std::unique_ptr<ModelGraph> module;
  Preprocess input;  ///< what it was trained to see of an image
};

/// For samples of shape `input`. A model of images is of images of that shape alone; one of windows
/// of tokens (T) may have been trained on others. Throws std::invalid_argument or IoError in one
/// line naming the file.
LoadedModel load_model(const ModelFiles& files, const Shape& input, Device device);

/// The tokens of the windows that a weights file's model was trained on; 0 where it does not say.
std::int64_t trained_context(const std::string& weights);

}  // namespace limbeck
