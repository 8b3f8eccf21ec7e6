// SPDX-License-Identifier: Apache-2.0
// The safetensors file format: a JSON header and raw little-endian tensors.
// Format: huggingface.co/docs/safetensors.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

struct SafetensorsFile {
  std::vector<std::pair<std::string, Tensor>> tensors;  ///< on the CPU, sorted by name when read
  std::map<std::string, std::string> metadata;
};

/// The tensors lie in the file's memory map, read when touched; writing to one changes no file.
/// Throws IoError in one line naming the file and what is wrong: unreadable,
/// header larger than the file, malformed header, unknown dtype, offsets that overlap, leave the
/// file or do not match shape and dtype.
SafetensorsFile read_safetensors(const std::string& path);

/// Writes atomically: a temporary file beside `path`, fsync, rename. When anything fails (full disk
/// included) it throws IoError and an old file at `path` is untouched.
void write_safetensors(const std::string& path, const SafetensorsFile& file);

}  // namespace limbeck
