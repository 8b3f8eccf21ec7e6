// SPDX-License-Identifier: Apache-2.0
// The command line of limbeck.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <limbeck/tools/run_command.h>

namespace limbeck {

/// Runs one command; `arguments` leaves out the program's name. Whatever goes wrong is one line on
/// `err` that begins "limbeck: ". Returns the exit code: 0, 1 when the work failed, 2 when the
/// command line was not understood.
int run_cli(const std::vector<std::string>& arguments, const Console& console, std::ostream& err);

}  // namespace limbeck
