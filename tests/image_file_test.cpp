// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG files, whole and broken.
#include <limbeck/tools/image_file.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/png_files.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Written by tools/peers/parity/photograph.py.
std::string fixture(const std::string& name) {
  return read_text(std::string(LIMBECK_SOURCE_DIR) + "/tests/fixtures/" + name);
}

void refuses(const std::string& bytes, const std::string& message) {
  expect_error<IoError>([&] { decode_image("a.file", bytes); }, message);
}

#define SKIP_WITHOUT(kind) \
  if (!kind##_available()) GTEST_SKIP() << "this build has no lib" #kind

TEST(ImageFile, JpegHasPillowsPixels) {
  SKIP_WITHOUT(jpeg);
  SKIP_WITHOUT(png);
  const Image jpeg = decode_image("photograph.jpg", fixture("photograph.jpg"));
  const Image png = decode_image("photograph.png", fixture("photograph.png"));
  EXPECT_EQ(jpeg.height, 8);
  EXPECT_EQ(jpeg.width, 12);
  EXPECT_EQ(jpeg.pixels, png.pixels);
  EXPECT_EQ(image_size("a", fixture("photograph.jpg")), (ImageSize{8, 12}));
}

TEST(ImageFile, BrokenJpeg) {
  SKIP_WITHOUT(jpeg);
  const std::string whole = fixture("photograph.jpg");
  refuses(whole.substr(0, whole.size() - 30), "a.file: corrupt JPEG (Premature end of JPEG file)");
  refuses(whole.substr(0, 30), "a.file: corrupt JPEG (");
  refuses(whole.substr(0, 2), "a.file: corrupt JPEG (");
  std::string damaged = whole;
  damaged[damaged.size() - 20] = '\xff';  // begins a marker within the data
  damaged[damaged.size() - 19] = '\xd9';
  refuses(damaged, "a.file: corrupt JPEG (");
}

TEST(ImageFile, PngOfEveryKindIsRgb) {
  SKIP_WITHOUT(png);
  const Image rgb = decode_image("a", png(2, 1, PngColour::rgb, "abcdef"));
  EXPECT_EQ(rgb.height, 2);
  EXPECT_EQ(rgb.width, 1);
  EXPECT_EQ(rgb.pixels, (Bytes{'a', 'b', 'c', 'd', 'e', 'f'}));
  EXPECT_EQ(decode_image("a", png(1, 2, PngColour::grey, "xy")).pixels,
            (Bytes{'x', 'x', 'x', 'y', 'y', 'y'}));
  EXPECT_EQ(decode_image("a", png(1, 2, PngColour::grey_alpha, "x1y2")).pixels,
            (Bytes{'x', 'x', 'x', 'y', 'y', 'y'}));
  EXPECT_EQ(decode_image("a", png(1, 2, PngColour::rgba, "abc1def2")).pixels,
            (Bytes{'a', 'b', 'c', 'd', 'e', 'f'}));
  // 16 bits are rounded: 255 / 257 is nearly 1, 0x80ff / 257 = 128.49.
  const std::string deep("\x00\xff\x80\xff", 4);
  EXPECT_EQ(decode_image("a", png(1, 2, PngColour::grey, deep, 16)).pixels,
            (Bytes{1, 1, 1, 128, 128, 128}));
}

TEST(ImageFile, BrokenPng) {
  SKIP_WITHOUT(png);
  const std::string whole = png(2, 1, PngColour::rgb, "abcdef");
  refuses(whole.substr(0, whole.size() - 3), "a.file: corrupt PNG (truncated)");
  refuses(whole.substr(0, 20), "a.file: corrupt PNG (truncated)");
  std::string damaged = whole;
  damaged[45] ^= 1;
  refuses(damaged, "a.file: corrupt PNG (");
  refuses(png(2, 2, PngColour::rgb, "abcdef"), "a.file: corrupt PNG (");  // half the pixels
  EXPECT_EQ(image_size("a", whole.substr(0, whole.size() - 3)), (ImageSize{2, 1}));
}

TEST(ImageFile, TooManyPixels) {
  SKIP_WITHOUT(png);
  refuses(png(1000000, 1000000, PngColour::rgb, ""),
          "a.file: is 1000000x1000000; expected at most 268435456 pixels");
}

TEST(ImageFile, OtherFiles) {
  refuses("GIF89a", "a.file: is neither JPEG nor PNG");
  refuses("", "a.file: is neither JPEG nor PNG");
  if (!jpeg_available())
    refuses("\xff\xd8", "a.file: this build cannot read JPEG; install libjpeg-dev");
  if (!png_available())
    refuses("\x89PNG\r\n\x1a\n", "a.file: this build cannot read PNG; install libpng-dev");
}

}  // namespace
}  // namespace limbeck::testing
