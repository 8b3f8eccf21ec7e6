// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG files, told apart by their first bytes.
#pragma once

#include <string>

#include <limbeck/tools/image.h>

namespace limbeck {

/// An image of at most so many pixels is decoded: a broken header does not take all memory.
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 28;

/// The image in the bytes of a file, as 8-bit RGB: grey is repeated, deeper samples are rounded, an
/// alpha channel is dropped, and no turn that a camera noted is made. Throws IoError in one line
/// that names `path`: of another kind, corrupt (for JPEG anything the decoder warns of), truncated,
/// too large; or that this build has no libjpeg or libpng, naming the package it wants.
Image decode_image(const std::string& path, const std::string& bytes);

/// Its extents, from the header alone. Throws as above.
ImageSize image_size(const std::string& path, const std::string& bytes);

/// What this build can decode.
bool jpeg_available();
bool png_available();

/// The two kinds (tools/jpeg.cpp, tools/png.cpp); with a null image the header alone is read.
ImageSize read_jpeg(const std::string& path, const std::string& bytes, Image* image);
ImageSize read_png(const std::string& path, const std::string& bytes, Image* image);

}  // namespace limbeck
