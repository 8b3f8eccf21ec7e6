// SPDX-License-Identifier: Apache-2.0
// Reads what one layer is to learn from another.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/distill_config.h>

namespace limbeck {

/// Keys: technique (tools/technique_json.h), student, teacher (their layers), weight,
/// [standardise], and the technique's own options. Throws std::invalid_argument as JsonObject does.
FeatureConfig read_feature(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck
