// SPDX-License-Identifier: Apache-2.0
// Folders of small PNG files for tests.
#pragma once

#include <filesystem>

#include <limbeck/tests/png_files.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {

/// A grey PNG of height x width, whose pixel (h,w) is key + 16 h + w.
inline std::string key_png(int key, std::uint32_t height = 4, std::uint32_t width = 5) {
  std::string samples;
  for (std::uint32_t h = 0; h < height; ++h)
    for (std::uint32_t w = 0; w < width; ++w)
      samples += static_cast<char>(static_cast<std::uint32_t>(key) + 16 * h + w);
  return png(height, width, PngColour::grey, samples);
}

/// Writes folder/name, and the folders above it.
inline void write_image(const TemporaryFolder& folder, const std::string& name,
                        const std::string& bytes) {
  const std::filesystem::path path = folder.file(name);
  std::filesystem::create_directories(path.parent_path());
  write_text(path.string(), bytes);
}

}  // namespace limbeck::testing
