// SPDX-License-Identifier: Apache-2.0
// Which limbeck this is.
#pragma once

#include <string>

namespace limbeck {

std::string version();  ///< "0.1.0"
std::string commit();   ///< short hash of the sources' commit when configured, or "unknown"

}  // namespace limbeck
