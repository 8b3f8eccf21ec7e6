// SPDX-License-Identifier: Apache-2.0
// A run file and the ones that it stands on.
#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

namespace limbeck {

/// A JSON file on top of the one that its "base" names, seen from its folder, and so on: what both
/// have is the former's, objects key by key, arrays whole (RFC 7396). Throws IoError and
/// std::invalid_argument as read_json_file does, and for files that stand on each other.
nlohmann::json read_run_file(const std::filesystem::path& file);

}  // namespace limbeck
