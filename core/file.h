// SPDX-License-Identifier: Apache-2.0
// Writing a file so that no crash and no full disk leaves half of one, and reading one in place.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace limbeck {

/// Writes the parts one after another to `path` + ".tmp" in the same folder, fsyncs it, renames it
/// to `path` and fsyncs the folder: at every moment `path` holds the old file or the new one. On
/// failure (a full disk included) removes the temporary file and throws IoError naming path and
/// cause; an old file is untouched.
void write_file_atomically(const std::string& path, std::span<const std::string_view> parts);

/// A file's bytes as memory, read when touched. Writes to it stay in this process.
struct MappedFile {
  std::shared_ptr<char> data;  ///< starts at a page; unmapped when the last owner goes
  std::size_t size = 0;
};

/// Throws IoError naming path and cause. An empty file has null data.
MappedFile map_file(const std::string& path);

}  // namespace limbeck
