// SPDX-License-Identifier: Apache-2.0
// Tests of loading data sets: MNIST's folder and the built-in digits.
#include <limbeck/tools/dataset.h>

#include <limbeck/tests/data_folder.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/idx_files.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

/// A folder with three training and two test images of 1x2, some of the files gzipped.
class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_text(path("train-images-idx3-ubyte.gz"), gzip(idx_bytes({3, 1, 2}, "abcdef")));
    write_text(path("train-labels-idx1-ubyte"), idx_bytes({3}, "\x01\x02\x03"));
    write_text(path("t10k-images-idx3-ubyte"), idx_bytes({2, 1, 2}, "ghij"));
    write_text(path("t10k-labels-idx1-ubyte.gz"), gzip(idx_bytes({2}, "\x04\x05")));
  }
  std::string path(const std::string& name) const { return folder_.file(name); }
  TrainTest load() const { return load_dataset(path("")); }

  TemporaryFolder folder_;
};

TEST_F(DatasetTest, ReadsTheFourFiles) {
  const TrainTest data = load();
  EXPECT_EQ(data.train.images.shape(), (Shape{3, 1, 2, 1}));
  EXPECT_EQ(data.train.labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(data.test.images.to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{'g', 'h', 'i', 'j'}));
  EXPECT_EQ(data.test.labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{4, 5}));
  EXPECT_EQ(data.train.classes, 10);
  EXPECT_EQ(data.train.name, "mnist/train");
  EXPECT_EQ(data.test.name, "mnist/t10k");
}

TEST_F(DatasetTest, DigestFollowsTheContents) {
  const TrainTest before = load();
  EXPECT_EQ(load().train.digest, before.train.digest);
  write_text(path("train-labels-idx1-ubyte"), idx_bytes({3}, "\x01\x02\x04"));
  EXPECT_NE(load().train.digest, before.train.digest);
  EXPECT_EQ(load().test.digest, before.test.digest);
}

TEST_F(DatasetTest, CountsThatDisagree) {
  write_text(path("t10k-images-idx3-ubyte"), idx_bytes({1, 1, 2}, "gh"));
  expect_error<IoError>([&] { load(); },
                        "t10k-labels-idx1-ubyte.gz: 2 labels for the 1 images of ");
}

TEST_F(DatasetTest, MissingFileAndUnknownSource) {
  std::filesystem::remove(path("train-labels-idx1-ubyte"));
  expect_error<IoError>([&] { load(); },
                        "train-labels-idx1-ubyte: no such file, with or without .gz");
  expect_error<IoError>([] { load_dataset("synthetic-digit"); },
                        "synthetic-digit: not a folder, and not a built-in data set");
}

TEST(Dataset, SyntheticDigitsTestFollowsTrain) {
  const TrainTest few = load_dataset("synthetic-digits", {20, 10, 7});
  const TrainTest more = load_dataset("synthetic-digits", {30, 10, 7});
  EXPECT_EQ(few.train.images.shape(), (Shape{20, 28, 28, 1}));
  EXPECT_EQ(few.test.labels.shape(), Shape{10});
  EXPECT_TRUE(same_bytes(few.train.images, more.train.images.rows(0, 20)));
  EXPECT_EQ(few.test.digest, more.test.digest);
  EXPECT_FALSE(same_bytes(few.train.images.rows(0, 10), few.test.images));
  EXPECT_NE(load_dataset("synthetic-digits", {20, 10, 8}).train.digest, few.train.digest);
  expect_error([] { load_dataset("synthetic-digits", {0, 10, 7}); }, "0 samples; expected 1 to ");
}

TEST(Dataset, RealMnist) {
  LIMBECK_SKIP_WITHOUT_DATA("mnist");
  const TrainTest data = load_dataset(data_folder("mnist"));
  EXPECT_EQ(data.train.images.shape(), (Shape{60000, 28, 28, 1}));
  EXPECT_EQ(data.test.images.shape(), (Shape{10000, 28, 28, 1}));
  // The byte-exact files of 1998.
  EXPECT_EQ(data.train.digest, "20fea81b17b969d0c843090fe4601f3f");
  EXPECT_EQ(data.test.digest, "a4b881ae9bc240544c9da62357fe2b3c");
}

}  // namespace
}  // namespace limbeck::testing
