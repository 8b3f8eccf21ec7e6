// SPDX-License-Identifier: Apache-2.0
// Name maps (nn/name_map.h) as JSON.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <limbeck/nn/name_map.h>

namespace limbeck {

/// {"rules": [{"match": <regex>, ["to": <name>, "transpose": <bool>, "part": <int>]}]}; a rule
/// without "to" drops what it matches. Throws std::invalid_argument as JsonObject does.
std::vector<NameRule> read_name_map(const nlohmann::json& value, const std::string& path);
/// The same of a file; "" has no rules. Throws IoError when it cannot be read.
std::vector<NameRule> read_name_map_file(const std::string& file);

}  // namespace limbeck
