// SPDX-License-Identifier: Apache-2.0
// The one table of layers a model description may name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limbeck/nn/layer_options.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// What may stand under a key. natural: an integer >= 0; positive: one >= 1.
enum class KeyKind { flag, natural, positive, number, text };

struct LayerKey {
  std::string_view name;
  KeyKind kind;
  bool required = false;
};

/// What a layer is made for.
struct LayerInput {
  Shape shape;  ///< of its input, for a batch of one
  Shape image;  ///< (H,W,C) of the last image on the way, until a linear layer mixes its cells
  DType dtype = DType::f32;
  Device device = Device::cpu();
  Variable tied = {};  ///< the weight of the layer that the key "to" names
};

/// A type of layer: its name, the keys it understands and how it is made of them. A new layer needs
/// an entry in layer_types.cpp and, to leave as ONNX, a form in tools/convert/onnx_layers. Exactly
/// one of `make` and `join` is set.
struct LayerType {
  std::string_view name;
  std::vector<LayerKey> keys;
  std::unique_ptr<Module> (*make)(const LayerOptions& options, const LayerInput& input) = nullptr;
  std::optional<Join> join = {};
};

const std::vector<LayerType>& layer_types();
/// Null for an unknown name.
const LayerType* find_layer_type(std::string_view name);

}  // namespace limbeck
