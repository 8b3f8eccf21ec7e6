// SPDX-License-Identifier: Apache-2.0
// What the readers of data files share: the bytes of a file and the form of a complaint.
#pragma once

#include <string>

#include <limbeck/core/error.h>

namespace limbeck {

/// Throws IoError "<path>: <parts>".
template <class... Parts>
[[noreturn]] void data_error(const std::string& path, const Parts&... parts) {
  throw IoError(detail::concat(path, ": ", parts...));
}

/// All bytes of a file. Throws IoError when it cannot be read or is empty.
std::string read_data_file(const std::string& path);

/// folder/name. Throws IoError when there is no such file.
std::string data_path(const std::string& folder, const std::string& name);

}  // namespace limbeck
