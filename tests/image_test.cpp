// SPDX-License-Identifier: Apache-2.0
// Images made smaller, larger and grey.
#include <limbeck/tools/image.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Grey pixels as RGB.
Image grey_image(std::int64_t height, std::int64_t width, const Bytes& values) {
  Image image = {height, width, {}};
  for (const std::uint8_t v : values) image.pixels.insert(image.pixels.end(), {v, v, v});
  return image;
}

TEST(Image, HalvingByHand) {
  // A step of 2 reaches 2 either way: weights 1, 3, 3, 1 of 8, and 3, 3, 1 of 7 at the edges.
  const Image image = grey_image(2, 4, {7, 14, 70, 35, 7, 14, 70, 35});
  const Image half = resized(image, {1, 2});
  EXPECT_EQ(half.height, 1);
  EXPECT_EQ(half.width, 2);
  // (3*7 + 3*14 + 70) / 7 = 19; (14 + 3*70 + 3*35) / 7 = 47.
  EXPECT_EQ(to_grey(half), (Bytes{19, 47}));
}

TEST(Image, DoublingByHand) {
  // New centres lie at -1/4, 1/4, 3/4, 5/4: weights 1, 3/4 and 1/4, 1/4 and 3/4, 1.
  const Image twice = resized(grey_image(1, 2, {0, 100}), {2, 4});
  EXPECT_EQ(to_grey(twice), (Bytes{0, 25, 75, 100, 0, 25, 75, 100}));
}

TEST(Image, TheMiddleIsKept) {
  // 1x5 to 1x3: the step is 1, and columns 1 to 3 are seen.
  EXPECT_EQ(to_grey(resized(grey_image(1, 5, {1, 2, 3, 4, 5}), {1, 3})), (Bytes{2, 3, 4}));
  EXPECT_EQ(to_grey(resized(grey_image(5, 1, {1, 2, 3, 4, 5}), {3, 1})), (Bytes{2, 3, 4}));
}

TEST(Image, LawsOfResizing) {
  Image image = {7, 9, Bytes(7 * 9 * 3)};
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(i * 37);
  EXPECT_EQ(resized(image, {7, 9}).pixels, image.pixels);
  const Image flat = grey_image(7, 9, Bytes(63, 200));
  for (const ImageSize size : {ImageSize{1, 1}, {3, 5}, {20, 2}, {13, 31}}) {
    const Image other = resized(flat, size);
    EXPECT_EQ(other.pixels, Bytes(static_cast<std::size_t>(size.height * size.width * 3), 200));
  }
  expect_error(
      [&] {
        resized(image, {0, 4});
      },
      "resized: 7x9 to 0x4; expected extents of at least 1");
}

TEST(Image, Grey) {
  // 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15; grey stays what it is.
  EXPECT_EQ(to_grey({1, 1, {10, 20, 30}}), Bytes{18});
  EXPECT_EQ(to_grey({1, 1, {255, 255, 255}}), Bytes{255});
  for (int v = 0; v < 256; ++v) {
    const auto value = static_cast<std::uint8_t>(v);
    ASSERT_EQ(to_grey(grey_image(1, 1, {value})), Bytes{value});
  }
}

}  // namespace
}  // namespace limbeck::testing
