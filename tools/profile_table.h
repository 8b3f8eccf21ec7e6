// SPDX-License-Identifier: Apache-2.0
// What limbeck profile prints and writes.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/profile.h>
#include <limbeck/tools/profile_run.h>

namespace limbeck {

/// What was profiled.
struct Profiled {
  std::string arm;
  Device device = Device::cpu();
  std::int64_t batch = 0;
  std::int64_t steps = 0;
  WholeStep whole = {};
  StepProfile traced = {};
};

/// What a whole step takes, then a row for each part of it. Ends in a newline.
std::string profile_table(const Profiled& profiled);
nlohmann::json write_profile(const Profiled& profiled);

}  // namespace limbeck
