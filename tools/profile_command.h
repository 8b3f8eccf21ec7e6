// SPDX-License-Identifier: Apache-2.0
// limbeck profile: where the time of a training step goes.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include <limbeck/tools/run_command.h>

namespace limbeck {

struct ProfileArguments {
  RunArguments run;  ///< the run file, and what changes it
  std::string arm;   ///< empty: the last that distils, else the last
  std::int64_t steps = 20;
  std::string json;          ///< file to write everything to
  std::string trace;         ///< file to write the ranges to (tools/trace_json.h)
  bool no_ceilings = false;  ///< does not measure the machine's limits
};

/// Trains one arm for some steps, from fresh weights (a teacher's, too: times do not depend on
/// them), and prints what a whole step takes and where its time goes. Throws on anything wrong.
void profile_command(const ProfileArguments& arguments, std::ostream& out);

}  // namespace limbeck
