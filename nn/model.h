// SPDX-License-Identifier: Apache-2.0
// Builds a model from a plain description.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <limbeck/nn/layer_options.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// One layer. `type` is one of layer_types.h's, which says what options it has; the commonest may
/// be given as fields, and one that is neither given nor set is the type's default.
struct LayerSpec {
  std::string type;
  std::string name = {};    ///< may have dots; empty: the layer's index, as in a chain of PyTorch's
  std::int64_t out = 0;     ///< option "out": output features or channels
  bool bias = true;         ///< option "bias"
  std::int64_t kernel = 0;  ///< option "kernel"
  std::int64_t stride = 0;  ///< option "stride"; 0: 1 for conv2d, kernel for pools
  std::int64_t padding = 0;  ///< option "padding"
  double p = 0;              ///< option "p"
  LayerOptions options = {};
  std::vector<std::string> from = {};  ///< earlier layers or "input"; empty: the layer before
};

/// `options` and the fields that are set, which come first.
LayerOptions options_of(const LayerSpec& layer);

/// `input` is one sample's shape: (features), (tokens) or (H,W,C). A linear layer after an image
/// flattens it.
struct ModelSpec {
  Shape input;
  std::vector<LayerSpec> layers;
  /// Layers [first, last) that are computed again in backward (ModelGraph::recompute).
  std::vector<std::pair<std::size_t, std::size_t>> recompute = {};
};

/// Builds and initialises (nn/init.h's Kaiming-uniform as PyTorch's defaults, from `seed`). The
/// weights are the same bits on every device. Throws std::invalid_argument naming the layer.
std::unique_ptr<ModelGraph> build_model(const ModelSpec& spec, std::uint64_t seed,
                                        DType dtype = DType::f32, Device device = Device::cpu());

}  // namespace limbeck
