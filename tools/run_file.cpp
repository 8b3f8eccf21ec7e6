// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run_file.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

constexpr int kMostBases = 8;

json read_based(const std::filesystem::path& file, int depth) {
  json config = read_json_file(file.string());
  if (!config.is_object() || !config.contains("base")) return config;
  LIMBECK_CHECK(config["base"].is_string(), file.string(), ": base: is ", config["base"].dump(),
                "; expected the name of a run file");
  LIMBECK_CHECK(depth < kMostBases, file.string(), ": base: is the ", depth + 1,
                "th in a row; expected at most ", kMostBases);
  json base = read_based(file.parent_path() / config["base"].get<std::string>(), depth + 1);
  config.erase("base");
  base.merge_patch(config);
  return base;
}

}  // namespace

json read_run_file(const std::filesystem::path& file) { return read_based(file, 0); }

}  // namespace limbeck
