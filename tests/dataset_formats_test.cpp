// SPDX-License-Identifier: Apache-2.0
// Tests of loading data sets: CIFAR's folders and NumPy's arrays.
#include <limbeck/tools/dataset.h>

#include <limbeck/tests/cifar_files.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/image_folder_files.h>
#include <limbeck/tests/npy_files.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/image_file.h>

namespace limbeck::testing {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Labels = std::vector<std::int32_t>;

class DatasetFormatsTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    write_text(folder_.file(name), bytes);
  }
  TrainTest load(const std::string& format) const {
    return load_dataset(folder_.file(""), {}, {.format = format});
  }
  /// Three training images of 1x2 and two for testing.
  void write_npy() const {
    write("train_images.npy", npy("|u1", "(3, 1, 2)", Bytes{1, 2, 3, 4, 5, 6}));
    write("train_labels.npy", npy("<i8", "(3,)", std::vector<std::int64_t>{2, 0, 1}));
    write("test_images.npy", npy("|u1", "(2, 1, 2)", Bytes{7, 8, 9, 10}));
    write("test_labels.npy", npy("|u1", "(2,)", Bytes{1, 1}));
  }
  void refuses(const std::string& message) const {
    expect_error<IoError>([&] { load("npy"); }, message);
  }
  TemporaryFolder folder_;
};

TEST_F(DatasetFormatsTest, Cifar10) {
  for (int i = 1; i <= 5; ++i)
    write("data_batch_" + std::to_string(i) + ".bin", cifar_record(10, i));
  expect_error<IoError>([&] { load("cifar10"); }, "test_batch.bin: no such file");
  write("test_batch.bin", cifar_record(10, 0));
  const TrainTest data = load("cifar10");
  EXPECT_EQ(data.train.images.shape(), (Shape{5, 32, 32, 3}));
  EXPECT_EQ(data.train.labels.to_vector<std::int32_t>(), (Labels{1, 2, 3, 4, 5}));
  EXPECT_EQ(data.test.labels.to_vector<std::int32_t>(), Labels{0});
  EXPECT_EQ(data.test.classes, 10);
  EXPECT_EQ(data.train.name, "cifar10/train");
  std::filesystem::remove(folder_.file("data_batch_4.bin"));
  expect_error<IoError>([&] { load("cifar10"); }, "data_batch_4.bin: no such file");
}

TEST_F(DatasetFormatsTest, Cifar100) {
  write("train.bin", cifar_record(100, 42) + cifar_record(100, 7));
  write("test.bin", cifar_record(100, 99));
  const TrainTest data = load("cifar100");
  EXPECT_EQ(data.train.labels.to_vector<std::int32_t>(), (Labels{42, 7}));
  EXPECT_EQ(data.train.classes, 100);
  EXPECT_NE(data.train.digest, data.test.digest);
}

TEST_F(DatasetFormatsTest, Npy) {
  write_npy();
  const TrainTest data = load("npy");
  EXPECT_EQ(data.train.images.shape(), (Shape{3, 1, 2, 1}));
  EXPECT_EQ(data.test.images.to_vector<std::uint8_t>(), (Bytes{7, 8, 9, 10}));
  EXPECT_EQ(data.train.labels.to_vector<std::int32_t>(), (Labels{2, 0, 1}));
  EXPECT_EQ(data.test.labels.to_vector<std::int32_t>(), (Labels{1, 1}));
  EXPECT_EQ(data.train.classes, 3);
  EXPECT_EQ(data.test.classes, 3);
}

TEST_F(DatasetFormatsTest, NpyOfFloatsIsF32) {
  write_npy();
  write("train_images.npy", npy("<f8", "(3, 1, 1, 2)", std::vector<double>{1, 2, 3, 4, 5, 0.5}));
  write("test_images.npy", npy("<f4", "(2, 1, 1, 2)", std::vector<float>{1, 2, 3, 4}));
  const TrainTest data = load("npy");
  EXPECT_EQ(data.train.images.shape(), (Shape{3, 1, 1, 2}));
  EXPECT_EQ(data.train.images.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5, 0.5f}));
}

TEST_F(DatasetFormatsTest, NpyRejections) {
  write_npy();
  std::filesystem::remove(folder_.file("test_labels.npy"));
  refuses("test_labels.npy: no such file");
  write("test_labels.npy", npy("|u1", "(3,)", Bytes{1, 1, 1}));
  refuses("test_labels.npy: 3 labels for the 2 images of ");
  write("test_labels.npy", npy("|u1", "(2,)", Bytes{1, 3}));
  refuses("test_labels.npy: label 1 is 3; expected 0 to 2");
  write("test_labels.npy", npy("<f4", "(2,)", std::vector<float>{1, 1}));
  refuses("test_labels.npy: holds f32; expected integer labels");
  write("test_labels.npy", npy("|u1", "(2, 1)", Bytes{1, 1}));
  refuses("test_labels.npy: has shape (2,1); expected labels (N)");

  write_npy();
  write("train_labels.npy", npy("<i4", "(3,)", Labels{0, 3, 1}));
  refuses("train_labels.npy: no sample of class 2; expected each of 0 to 3");
  write("train_labels.npy", npy("<i4", "(3,)", Labels{0, -1, 1}));
  refuses("train_labels.npy: label 1 is -1; expected 0 to 1");
  write("train_labels.npy", npy("<i8", "(3,)", std::vector<std::int64_t>{0, 1, 1LL << 40}));
  refuses("train_labels.npy: the greatest label is 1099511627776; expected 0 to 16777215");

  write_npy();
  write("test_images.npy", npy("|u1", "(2, 2, 1)", Bytes{7, 8, 9, 10}));
  refuses("test_images.npy: holds u8(2,2,1,1), train_images.npy u8(3,1,2,1)");
  write("test_images.npy", npy("|u1", "(2, 2)", Bytes{7, 8, 9, 10}));
  refuses("test_images.npy: has shape (2,2); expected images (N,H,W) or (N,H,W,C)");
  write("test_images.npy", npy("<i4", "(2, 1, 2)", Labels{7, 8, 9, 10}));
  refuses("test_images.npy: holds i32; expected u8 or floating-point images");
}

TEST_F(DatasetFormatsTest, Folder) {
  if (!png_available()) GTEST_SKIP() << "this build has no libpng";
  for (const char* name : {"train/a/1.png", "train/b/1.png", "train/b/2.png", "test/b/1.png"})
    write_image(folder_, name, key_png(3));
  expect_error<IoError>([&] { load("folder"); }, "test: has no folder for class \"a\"");
  write_image(folder_, "test/a/1.png", key_png(7));
  const TrainTest data = load("folder");
  EXPECT_FALSE(data.train.images.defined());
  EXPECT_EQ(data.train.labels.to_vector<std::int32_t>(), (Labels{0, 1, 1}));
  EXPECT_EQ(data.train.classes, 2);
  EXPECT_EQ(data.test.image_shape(), (Shape{4, 5, 3}));
  EXPECT_EQ(data.train.name, "folder/train");
  const auto source = data.test.source(Device::cpu(), {.scale = 1});
  source->begin_epoch({1, 0}, 0);
  EXPECT_EQ(source->fetch(1, 2, 0).x.to_vector<float>()[0], 7);
  const TrainTest small = load_dataset(
      folder_.file(""), {}, {.format = "folder", .images = {.size = {2, 3}, .channels = 1}});
  EXPECT_EQ(small.train.image_shape(), (Shape{2, 3, 1}));
  for (const char* name : {"test/a/1.png", "test/b/1.png"})
    write_image(folder_, name, key_png(7, 4, 4));
  expect_error<IoError>([&] { load("folder"); }, "test: has images of 4x4, train of 4x5");
}

TEST_F(DatasetFormatsTest, UnknownFormat) {
  expect_error([&] { load("cifar"); },
               "load_dataset: format is \"cifar\"; expected idx, cifar10, cifar100, npy or folder");
}

}  // namespace
}  // namespace limbeck::testing
