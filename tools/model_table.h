// SPDX-License-Identifier: Apache-2.0
// A model's layers as a table.
#pragma once

#include <string>
#include <vector>

#include <limbeck/nn/model.h>

namespace limbeck {

/// One layer for one sample.
struct LayerCost {
  std::string name;   ///< of the node
  std::string layer;  ///< "Linear(784, 10)"
  Shape output;       ///< without the batch
  std::int64_t parameters = 0;
  std::int64_t flops = 0;             ///< of products in a forward pass, a multiply-add being 2
  std::int64_t activation_bytes = 0;  ///< of the output in f32
  std::int64_t input_bytes = 0;       ///< of what it reads, in f32
  bool reads_input = false;           ///< nothing but the model's input
};

/// Every layer of the model, in order. Pointwise work (activations, sums, normalisation, pooling)
/// counts as no FLOPs.
std::vector<LayerCost> layer_costs(const ModelSpec& spec);

/// layer_costs and their totals. Throws std::invalid_argument as build_model does.
std::string model_table(const ModelSpec& spec);

}  // namespace limbeck
