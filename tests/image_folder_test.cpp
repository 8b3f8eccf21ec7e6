// SPDX-License-Identifier: Apache-2.0
// Folders of images, one per class: what is listed and what is refused.
#include <limbeck/tools/image_folder.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/image_folder_files.h>
#include <limbeck/tools/image_file.h>

namespace limbeck::testing {
namespace {

using Names = std::vector<std::string>;

class ImageFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!png_available()) GTEST_SKIP() << "this build has no libpng";
    write("dog/b.png", key_png(3));
    write("dog/a.PNG", key_png(2));
    write("cat/z.png", key_png(1));
    write("cat/.hidden", "");
  }
  void write(const std::string& name, const std::string& bytes) const {
    write_image(folder_, name, bytes);
  }
  ImageFolder list(const FolderImages& images = {}, const Names& classes = {}) const {
    return list_image_folder(folder_.file(""), images, classes);
  }
  void refuses(const std::string& message) const {
    expect_error<IoError>([&] { list(); }, message);
  }
  TemporaryFolder folder_;
};

TEST_F(ImageFolderTest, ClassesAndFilesAreSorted) {
  const ImageFolder folder = list();
  EXPECT_EQ(folder.classes, (Names{"cat", "dog"}));
  EXPECT_EQ(folder.labels, (std::vector<std::int32_t>{0, 1, 1}));
  ASSERT_EQ(folder.files.size(), 3u);
  EXPECT_TRUE(folder.files[1].ends_with("dog/a.PNG"));
  EXPECT_EQ(folder.images.size, (ImageSize{4, 5}));
  std::vector<std::uint8_t> pixels(folder.image_bytes());
  ASSERT_EQ(pixels.size(), 60u);
  folder.load(2, pixels.data());
  EXPECT_EQ(pixels[0], 3);
  EXPECT_EQ(pixels[59], 3 + 16 * 3 + 4);
}

TEST_F(ImageFolderTest, GreyAndResized) {
  write("cat/big.png", key_png(0, 8, 10));
  const ImageFolder folder = list({{2, 2}, 1});
  EXPECT_EQ(folder.image_bytes(), 4u);
  std::vector<std::uint8_t> pixels(4);
  folder.load(0, pixels.data());
  const Image small = resized(decode_image("a", key_png(0, 8, 10)), {2, 2});
  EXPECT_EQ(pixels, to_grey(small));
}

TEST_F(ImageFolderTest, DigestFollowsNamesContentsAndForm) {
  const std::string before = list().digest;
  EXPECT_EQ(list().digest, before);
  EXPECT_NE(list({{2, 2}, 3}).digest, before);
  EXPECT_NE(list({{}, 1}).digest, before);
  write("cat/z.png", key_png(9));
  EXPECT_NE(list().digest, before);
  write("cat/z.png", key_png(1));
  EXPECT_EQ(list().digest, before);
  std::filesystem::rename(folder_.file("cat/z.png"), folder_.file("cat/y.png"));
  EXPECT_NE(list().digest, before);
}

TEST_F(ImageFolderTest, Sizes) {
  write("dog/c.png", key_png(1, 5, 5));
  refuses("dog/c.png: is 5x5, ");
  refuses("cat/z.png 4x5; expected one size, or a size to bring all to");
}

TEST_F(ImageFolderTest, WhatIsNoImage) {
  write("dog/c.png", "GIF89a");
  refuses("dog/c.png: is neither JPEG nor PNG");
  std::filesystem::remove(folder_.file("dog/c.png"));
  write("dog/notes.txt", "x");
  refuses("dog/notes.txt: is no .jpg, .jpeg or .png");
  std::filesystem::remove(folder_.file("dog/notes.txt"));
  write("readme.md", "x");
  refuses("readme.md: lies beside the classes; expected folders, one per class");
}

TEST_F(ImageFolderTest, MissingClasses) {
  EXPECT_NO_THROW(list({}, {"cat", "dog"}));
  expect_error<IoError>(
      [&] {
        list({}, {"cat", "dog", "emu"});
      },
      "has no folder for class \"emu\"");
  expect_error<IoError>([&] { list({}, {"dog"}); },
                        "has a folder \"cat\", which is no class of the training images");
  std::filesystem::create_directory(folder_.file("emu"));
  refuses("emu: holds no image; expected .jpg, .jpeg or .png");
  expect_error<IoError>([&] { list_image_folder(folder_.file("none"), {}); },
                        "none: no such folder");
  TemporaryFolder empty;
  expect_error<IoError>([&] { list_image_folder(empty.file(""), {}); },
                        "is empty; expected folders, one per class");
  expect_error([&] { list({{}, 2}); }, "list_image_folder: channels is 2; expected 1 or 3");
}

TEST_F(ImageFolderTest, AFileThatChanges) {
  const ImageFolder folder = list();
  std::vector<std::uint8_t> pixels(folder.image_bytes());
  write("cat/z.png", key_png(1, 5, 5));
  expect_error<IoError>([&] { folder.load(0, pixels.data()); },
                        "cat/z.png: is now 5x5; it was 4x5");
}

}  // namespace
}  // namespace limbeck::testing
