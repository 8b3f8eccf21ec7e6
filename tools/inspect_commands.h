// SPDX-License-Identifier: Apache-2.0
// The command lines of limbeck eval, compare and info.
#pragma once

#include <functional>
#include <ostream>

namespace CLI {
class App;
}

namespace limbeck {

/// Adds the three subcommands. When one of them was asked for, `action` is set to what carries it
/// out, writing to `out`; both must outlive the app.
void add_inspect_commands(CLI::App& app, std::function<bool()>& action, std::ostream& out);

}  // namespace limbeck
