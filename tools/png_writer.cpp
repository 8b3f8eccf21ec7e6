// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/png_writer.h>

#include <zlib.h>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 255u);
  return bytes;
}

const Bytef* zlib_bytes(const std::string& bytes) {
  return reinterpret_cast<const Bytef*>(bytes.data());
}

/// Length, type, data, and a checksum of the latter two.
std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong sum = crc32(0, zlib_bytes(body), static_cast<uInt>(body.size()));
  return big_endian(static_cast<std::uint32_t>(data.size())) + body +
         big_endian(static_cast<std::uint32_t>(sum));
}

std::string packed(const std::string& bytes) {
  std::string out(compressBound(bytes.size()), '\0');
  uLongf size = out.size();
  compress(reinterpret_cast<Bytef*>(out.data()), &size, zlib_bytes(bytes), bytes.size());
  out.resize(size);
  return out;
}

}  // namespace

std::string encode_png(const Image& image) {
  const std::int64_t H = image.height, W = image.width;
  LIMBECK_CHECK(H >= 1 && W >= 1 && static_cast<std::int64_t>(image.pixels.size()) == H * W * 3,
                "encode_png: image of ", H, "x", W, " has ", image.pixels.size(),
                " bytes; expected 3 for each pixel of at least one");
  std::string lines;
  for (std::int64_t h = 0; h < H; ++h) {
    lines += '\0';  // the line is not filtered
    lines.append(reinterpret_cast<const char*>(image.pixels.data()) + h * W * 3,
                 static_cast<std::size_t>(W * 3));
  }
  const std::string depth_and_rgb = {8, 2, 0, 0, 0};
  const std::string header = big_endian(static_cast<std::uint32_t>(W)) +
                             big_endian(static_cast<std::uint32_t>(H)) + depth_and_rgb;
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", packed(lines)) +
         chunk("IEND", "");
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t b = 0; b < 3; ++b)
      group = group << 8 | (i + b < bytes.size() ? static_cast<unsigned char>(bytes[i + b]) : 0u);
    for (std::size_t d = 0; d < 4; ++d)
      text += i + d > bytes.size() ? '=' : kDigits[group >> (18 - 6 * d) & 63u];
  }
  return text;
}

}  // namespace limbeck
