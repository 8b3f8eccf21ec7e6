// SPDX-License-Identifier: Apache-2.0
// Models as JSON: {"layers": [{"type": "linear", "out": 10}, ...]}.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/nn/model.h>

namespace limbeck {

/// Reads {"layers": [...]}, with, each optional, "variables": {"width": 64}, integers that the
/// layers may use as "${4*width}", and "input", one sample's shape. `input` is the data's; it may
/// be empty, and otherwise the two must agree. A layer may have only the keys its type has in
/// nn/layer_types.cpp, type, name and "from": the earlier layer it reads, or an array of them; by
/// default it is the layer before. Groups and repetitions are model_template.h's. Throws
/// std::invalid_argument as JsonObject does; `path` is where `value` was found.
ModelSpec read_model(const nlohmann::json& value, const std::string& path, const Shape& input);

/// What read_model reads back to an equal spec, with "input" added.
nlohmann::json write_model(const ModelSpec& spec);

/// read_model of what says its "input".
ModelSpec read_model_with_input(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck
