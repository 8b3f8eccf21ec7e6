// SPDX-License-Identifier: Apache-2.0
// Builds a model from a plain description.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <limbeck/nn/sequential.h>

namespace limbeck {

/// One layer. `type` is linear, conv2d, relu, gelu, tanh, sigmoid, dropout, max_pool2d, avg_pool2d
/// or flatten; only the fields that type uses are read.
struct LayerSpec {
  std::string type;
  std::string name = {};     ///< empty: the layer's index, as in PyTorch's Sequential
  std::int64_t out = 0;      ///< linear, conv2d: output features or channels
  bool bias = true;          ///< linear, conv2d
  std::int64_t kernel = 0;   ///< conv2d, pools
  std::int64_t stride = 0;   ///< 0: 1 for conv2d, kernel for pools
  std::int64_t padding = 0;  ///< conv2d, pools
  double p = 0;              ///< dropout
};

/// `input` is one sample's shape: (features) or (H,W,C). A linear layer after an image flattens it.
struct ModelSpec {
  Shape input;
  std::vector<LayerSpec> layers;
};

/// Builds and initialises (nn/init.h's Kaiming-uniform as PyTorch's defaults, from `seed`). The
/// weights are the same bits on every device. Throws std::invalid_argument naming the layer.
std::unique_ptr<Sequential> build_model(const ModelSpec& spec, std::uint64_t seed,
                                        DType dtype = DType::f32, Device device = Device::cpu());

}  // namespace limbeck
