// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/version.h>

namespace limbeck {

// Both macros are set by CMake, for this file alone.
std::string version() { return LIMBECK_VERSION; }
std::string commit() { return LIMBECK_COMMIT; }

}  // namespace limbeck
