// SPDX-License-Identifier: Apache-2.0
// CIFAR's binary files, whole and broken.
#include <limbeck/tools/cifar.h>

#include <limbeck/tests/cifar_files.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

class CifarTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    write_text(folder_.file(name), bytes);
    return folder_.file(name);
  }
  TemporaryFolder folder_;
};

TEST_F(CifarTest, RecordsOfAllFilesFollowEachOther) {
  const LabelledImages data = read_cifar(
      {write("a", cifar_record(10, 3) + cifar_record(10, 9)), write("b", cifar_record(10, 0))}, 10);
  EXPECT_EQ(data.images.shape(), (Shape{3, 32, 32, 3}));
  EXPECT_EQ(data.images.dtype(), DType::u8);
  EXPECT_EQ(data.labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{3, 9, 0}));
}

TEST_F(CifarTest, PlanesBecomePixels) {
  const LabelledImages data =
      read_cifar({write("a", cifar_record(10, 1) + cifar_record(10, 2))}, 10);
  const auto pixels = data.images.to_vector<std::uint8_t>();
  for (const int n : {0, 1})
    for (const int h : {0, 5, 31})
      for (const int w : {0, 7, 31})
        for (int c = 0; c < 3; ++c)
          ASSERT_EQ(pixels[static_cast<std::size_t>(((n * 32 + h) * 32 + w) * 3 + c)],
                    cifar_pixel(n + 1, h, w, c));
}

TEST_F(CifarTest, OfTwoLabelsTheFineOneCounts) {
  const LabelledImages data = read_cifar({write("train.bin", cifar_record(100, 99))}, 100);
  EXPECT_EQ(data.labels.to_vector<std::int32_t>(), std::vector<std::int32_t>{99});
  EXPECT_EQ(data.images.to_vector<std::uint8_t>()[2], cifar_pixel(99, 0, 0, 2));
}

TEST_F(CifarTest, Rejections) {
  const std::string record = cifar_record(10, 3);
  expect_error<IoError>([&] { read_cifar({write("a", record + "x")}, 10); },
                        "a: 3074 bytes; expected a multiple of 3073, the size of a record");
  expect_error<IoError>([&] { read_cifar({write("a", record)}, 100); },
                        "a: 3073 bytes; expected a multiple of 3074");
  expect_error<IoError>(
      [&] {
        read_cifar({write("a", record), write("b", "")}, 10);
      },
      "b: is empty or cannot be read");
  expect_error<IoError>([&] { read_cifar({folder_.file("none")}, 10); }, "none: cannot be opened");
  expect_error<IoError>([&] { read_cifar({write("a", record + cifar_record(10, 10))}, 10); },
                        "a: label 1 is 10; expected 0 to 9");
  expect_error([&] { read_cifar({write("a", record)}, 20); },
               "read_cifar: classes is 20; expected 10 or 100");
}

}  // namespace
}  // namespace limbeck::testing
