// SPDX-License-Identifier: Apache-2.0
// Tests of the idx reader: what it reads, and the one line for each kind of broken file.
#include <limbeck/tools/idx.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/idx_files.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

using namespace std::string_literals;

// Two images of 2x3 and their labels; 0xff checks that bytes are read as unsigned.
const std::string kImages =
    idx_bytes({2, 2, 3}, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\xff"s);
const std::string kLabels = idx_bytes({2}, "\x09\x00"s);

class IdxTest : public ::testing::Test {
 protected:
  /// Both readers must refuse the file in one line that names it and says `part`.
  void expect_refused(const std::string& images, const std::string& labels,
                      const std::string& part) {
    const std::string path = folder_.file("broken");
    for (const bool is_image : {true, false}) {
      const std::string& bytes = is_image ? images : labels;
      write_text(path, bytes);
      expect_error<IoError>([&] { is_image ? read_idx_images(path) : read_idx_labels(path, 10); },
                            detail::concat(path, ": ", part));
    }
  }
  Tensor read_images(const std::string& bytes) {
    write_text(folder_.file("images"), bytes);
    return read_idx_images(folder_.file("images"));
  }
  Tensor read_labels(const std::string& bytes, int classes = 10) {
    write_text(folder_.file("labels"), bytes);
    return read_idx_labels(folder_.file("labels"), classes);
  }

  TemporaryFolder folder_;
};

TEST_F(IdxTest, ReadsImagesPlainAndGzipped) {
  for (const std::string& bytes : {kImages, gzip(kImages)}) {
    const Tensor images = read_images(bytes);
    EXPECT_EQ(images.shape(), (Shape{2, 2, 3, 1}));
    EXPECT_EQ(images.to_vector<std::uint8_t>(),
              (std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255}));
  }
}

TEST_F(IdxTest, ReadsLabelsPlainAndGzipped) {
  for (const std::string& bytes : {kLabels, gzip(kLabels)})
    EXPECT_EQ(read_labels(bytes).to_vector<std::int32_t>(), (std::vector<std::int32_t>{9, 0}));
}

TEST_F(IdxTest, MissingFileAndFolderAndEmptyFile) {
  expect_error<IoError>([&] { read_idx_images(folder_.file("none")); }, "none: cannot be opened");
  expect_error<IoError>([&] { read_idx_labels(folder_.file(""), 10); }, "cannot be read");
  expect_refused("", "", "is empty");
}

TEST_F(IdxTest, WrongMagic) {
  // 2051 is 0x803, three extents of bytes; 2049 is 0x801, one extent.
  expect_refused(kLabels + "more than a header", kImages, "magic number is ");
  expect_error<IoError>([&] { read_images(kLabels + "more than a header"); },
                        "magic number is 2049; expected 2051");
  std::string floats = kImages;
  floats[2] = '\x0d';  // the code of float elements
  expect_error<IoError>([&] { read_images(floats); }, "magic number is 3331; expected 2051");
}

TEST_F(IdxTest, Truncated) {
  expect_refused(kImages.substr(0, 15), kLabels.substr(0, 7), "truncated: ");
  expect_refused(kImages.substr(0, 27), kLabels.substr(0, 9), "truncated: the header promises ");
  expect_error<IoError>([&] { read_images(kImages.substr(0, 20)); },
                        "truncated: the header promises 12 bytes, 4 follow");
}

TEST_F(IdxTest, HeaderPromisesMoreThanFitsInMemory) {
  // 4294967295 cubed overflows 64 bits; nothing may be allocated for it.
  expect_error<IoError>(
      [&] {
        read_images(idx_bytes({~0u, ~0u, ~0u}, "x"));
      },
      "promises over 2^64 bytes, 1 follow");
  expect_error<IoError>([&] { read_labels(idx_bytes({~0u}, "x")); },
                        "promises 4294967295 bytes, 1 follow");
}

TEST_F(IdxTest, NoSamples) {
  expect_refused(idx_bytes({0, 28, 28}, ""), idx_bytes({0}, ""), "extent 0 is 0");
}

TEST_F(IdxTest, BytesAfterTheEnd) {
  expect_refused(kImages + "abc", kLabels + "abc", "3 bytes after the end of the data");
  expect_refused(gzip(kImages) + "abc", gzip(kLabels) + "abc",
                 "3 bytes after the end of the gzip stream");
}

TEST_F(IdxTest, BrokenGzip) {
  std::string images = gzip(kImages), labels = gzip(kLabels);
  expect_refused(images.substr(0, images.size() - 5), labels.substr(0, labels.size() - 5),
                 "truncated gzip");
  images[images.size() - 6] ^= 1;  // in the checksum
  labels[labels.size() - 6] ^= 1;
  expect_refused(images, labels, "corrupt gzip (incorrect data check)");
  expect_refused("\x1f\x8b nonsense", "\x1f\x8b nonsense", "corrupt gzip");
}

TEST_F(IdxTest, LabelOutOfRange) {
  expect_error<IoError>([&] { read_labels(kLabels, 9); }, "label 0 is 9; expected 0 to 8");
  expect_error<IoError>([&] { read_labels(idx_bytes({2}, "\x03\xff")); },
                        "label 1 is 255; expected 0 to 9");
}

}  // namespace
}  // namespace limbeck::testing
