// SPDX-License-Identifier: Apache-2.0
// Images as PNG files, and files as text.
#pragma once

#include <string>
#include <string_view>

#include <limbeck/tools/image.h>

namespace limbeck {

/// The bytes of a PNG file of 8-bit RGB, by zlib alone. Throws std::invalid_argument for extents
/// below 1 and pixels of another number.
std::string encode_png(const Image& image);

/// Base64 with padding (RFC 4648, section 4).
std::string base64(std::string_view bytes);

}  // namespace limbeck
