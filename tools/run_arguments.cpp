// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run_arguments.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/run_file.h>

namespace limbeck {

using nlohmann::json;

json read_config(const RunArguments& arguments) {
  json config = read_run_file(arguments.file);
  for (const std::string& assignment : arguments.set) set_json_value(config, assignment);
  if (!arguments.data.empty()) set_json_value(config, "data.source=" + json(arguments.data).dump());
  if (arguments.seed) config["seeds"] = {*arguments.seed};
  return config;
}

Experiment parse_config(const json& config, const std::string& file) {
  try {
    return read_experiment(config);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(file + ": " + e.what());
  }
}

}  // namespace limbeck
