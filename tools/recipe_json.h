// SPDX-License-Identifier: Apache-2.0
// Recipes as JSON.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/distill/trainer.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

/// All throw std::invalid_argument as JsonObject does; `path` is where `value` was found. Whatever
/// changes the objective is required.
Recipe read_recipe(const nlohmann::json& value, const std::string& path);
/// "f32", "bf16" or "f16" at a key that must be there.
DType read_dtype(const JsonObject& object, const char* key);

}  // namespace limbeck
