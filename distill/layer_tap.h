// SPDX-License-Identifier: Apache-2.0
// What single layers of a model give for a batch.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <limbeck/distill/batch_source.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// Runs the model on a batch in evaluation mode, nothing recorded, in the dtype of its parameters;
/// visits the outputs of `layers` (ascending) as soon as they are computed.
void visit_taps(ModelGraph& model, const std::vector<std::size_t>& layers, const Batch& batch,
                const std::function<void(std::size_t, const Tensor&)>& visit);

/// The place of the layer of that name. Throws std::invalid_argument, naming `whose` model.
std::size_t layer_named(const ModelGraph& model, const std::string& name, const std::string& whose);

/// The output of one layer.
Tensor layer_tap(ModelGraph& model, std::size_t layer, const Batch& batch);

/// `count` numbers below `size`, evenly spread: data is often sorted by class. 0 <= count <= size.
std::vector<std::int32_t> spread_samples(std::int64_t count, std::int64_t size);

}  // namespace limbeck
