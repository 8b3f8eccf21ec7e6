// SPDX-License-Identifier: Apache-2.0
// Small PNG files for tests, written with zlib alone.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>

namespace limbeck::testing {

inline std::string big_endian_bytes(std::uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 255u);
  return bytes;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian_bytes(static_cast<std::uint32_t>(data.size())) + body +
         big_endian_bytes(static_cast<std::uint32_t>(crc));
}

/// PNG's colour types.
enum class PngColour { grey = 0, rgb = 2, grey_alpha = 4, rgba = 6 };

/// A file of `samples`, row after row, of `depth` bits, big-endian.
inline std::string png(std::uint32_t height, std::uint32_t width, PngColour colour,
                       const std::string& samples, int depth = 8) {
  const std::size_t row = samples.size() / height;
  std::string lines;
  for (std::uint32_t h = 0; h < height; ++h)
    lines += '\0' + samples.substr(h * row, row);  // 0: the line is not filtered
  std::string packed(compressBound(lines.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(lines.data()), lines.size());
  packed.resize(size);
  const std::string header = big_endian_bytes(width) + big_endian_bytes(height) +
                             static_cast<char>(depth) + static_cast<char>(colour) +
                             std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", packed) +
         png_chunk("IEND", "");
}

}  // namespace limbeck::testing
