// SPDX-License-Identifier: Apache-2.0
// Models as JSON: {"layers": [{"type": "linear", "out": 10}, ...]}.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/nn/model.h>

namespace limbeck {

/// Reads a model; `input` (one sample's shape) comes from the data. A layer may have only the keys
/// its type uses: linear: out, bias; conv2d: out, kernel, stride, padding, bias; max_pool2d and
/// avg_pool2d: kernel, stride, padding; dropout: p; each also type and name. Throws
/// std::invalid_argument as JsonObject does; `path` is where `value` was found.
ModelSpec read_model(const nlohmann::json& value, const std::string& path, const Shape& input);

/// What read_model reads back to an equal spec, with "input" added.
nlohmann::json write_model(const ModelSpec& spec);

/// The inverse of write_model.
ModelSpec read_model_with_input(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck
