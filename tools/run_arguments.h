// SPDX-License-Identifier: Apache-2.0
// A run file as a command line changes it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/experiment.h>
#include <limbeck/tools/run_command.h>

namespace limbeck {

/// read_run_file (tools/run_file.h) with everything the command line changes in it.
nlohmann::json read_config(const RunArguments& arguments);

/// read_experiment, with the file named in front of every complaint.
Experiment parse_config(const nlohmann::json& config, const std::string& file);

}  // namespace limbeck
