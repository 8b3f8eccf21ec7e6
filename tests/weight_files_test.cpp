// SPDX-License-Identifier: Apache-2.0
// Tests of reading weights from one file, from shards and from a folder.
#include <limbeck/nn/weight_files.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

class WeightFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(path("one.safetensors"), {{{"b", Tensor::full({2}, 1)}}, {}});
    write_safetensors(path("two.safetensors"),
                      {{{"a", Tensor::full({3}, 2)}, {"c", Tensor::full({1}, 3)}}, {}});
    write_index(R"({"a":"two.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  }
  std::string path(const std::string& name) const { return folder_.file(name); }
  std::string index() const { return path("model.safetensors.index.json"); }
  void write_index(const std::string& map) const {
    write_text(index(), R"({"metadata":{"total_size":24},"weight_map":)" + map + "}");
  }
  void expect_rejected(const std::string& part) const {
    expect_error<IoError>([&] { read_weight_files(index()); }, part);
  }
  TemporaryFolder folder_;
};

TEST_F(WeightFilesTest, ShardsBecomeOne) {
  for (const std::string& from : {index(), path("")}) {
    const SafetensorsFile file = read_weight_files(from);
    ASSERT_EQ(file.tensors.size(), 3u);
    EXPECT_EQ(file.tensors[0].first, "a");
    EXPECT_EQ(to_doubles(file.tensors[0].second), (std::vector<double>{2, 2, 2}));
    EXPECT_EQ(file.tensors[2].first, "c");
  }
}

TEST_F(WeightFilesTest, AFolderWithOneFileIsThatFile) {
  write_safetensors(path("model.safetensors"), {{{"w", Tensor::full({2}, 1)}}, {}});
  EXPECT_EQ(read_weight_files(path("")).tensors[0].first, "w");
  EXPECT_EQ(read_weight_files(path("one.safetensors")).tensors[0].first, "b");
}

TEST_F(WeightFilesTest, RejectsAnIndexThatDoesNotHold) {
  write_index(R"({"a":"two.safetensors","b":"gone.safetensors","c":"two.safetensors"})");
  expect_rejected("gone.safetensors is missing");
  write_index(R"({"a":"two.safetensors","b":"one.safetensors"})");
  expect_rejected("two.safetensors: holds 'c', which");
  write_index(R"({"a":"two.safetensors","c":"two.safetensors","d":"one.safetensors"})");
  expect_rejected("one.safetensors: holds 'b', which");
  write_index(R"({"a":"two.safetensors","b":"one.safetensors","c":"two.safetensors",)"
              R"("d":"one.safetensors"})");
  expect_rejected("one.safetensors: lacks 'd', which");
  write_index("[3]");
  expect_rejected("malformed index");
  write_text(index(), "{");
  expect_rejected("malformed index");
  std::filesystem::remove(index());
  expect_rejected("cannot open: No such file");
  expect_error<IoError>([&] { read_weight_files(path("")); }, "holds neither model.safetensors");
}

}  // namespace
}  // namespace limbeck::testing
