// SPDX-License-Identifier: Apache-2.0
// One image in memory and what is done to it before training sees it.
#pragma once

#include <cstdint>
#include <vector>

namespace limbeck {

/// Rows of pixels of 8-bit red, green and blue.
struct Image {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  ///< height * width * 3
};

/// Extents of an image file, read from its header.
struct ImageSize {
  std::int64_t height = 0, width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// The middle of an image, as much of it as has the proportions of `size`, at that size. Each pixel
/// is a mean with weights that fall linearly to 0 over one pixel of the coarser of the two grids,
/// so that shrinking does not alias. The same bits on every CPU. Throws std::invalid_argument for
/// extents below 1.
Image resized(const Image& image, ImageSize size);

/// A pixel's brightness 0.299 r + 0.587 g + 0.114 b, rounded: height * width bytes.
std::vector<std::uint8_t> to_grey(const Image& image);

}  // namespace limbeck
