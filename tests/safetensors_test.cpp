// SPDX-License-Identifier: Apache-2.0
// Tests of reading and writing safetensors files.
#include <limbeck/nn/safetensors.h>

#include <cstring>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

/// A file made by hand: the header's length, the header, the data.
std::string file_bytes(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

class SafetensorsTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_.file("weights.safetensors"); }
  /// Reading a file of these bytes fails, in one line that begins with its path.
  void expect_rejected(const std::string& bytes, const std::string& part) const {
    write_text(path(), bytes);
    expect_error<IoError>([&] { read_safetensors(path()); }, part);
    expect_error<IoError>([&] { read_safetensors(path()); }, path() + ": ");
  }
  TemporaryFolder folder_;
};

// Written by hand from the format's description: two f32 and one u8.
TEST_F(SafetensorsTest, ReadsAHandMadeFile) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},)"
      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}   )";
  const float values[] = {1.5f, -2.0f};
  write_text(path(), file_bytes(header, std::string(reinterpret_cast<const char*>(values), 8) +
                                            std::string(1, '\x07')));
  const SafetensorsFile file = read_safetensors(path());
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].first, "a");
  EXPECT_EQ(file.tensors[0].second.shape(), Shape({2, 1}));
  EXPECT_EQ(file.tensors[0].second.to_vector<float>(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(file.tensors[1].second.to_vector<std::uint8_t>(), std::vector<std::uint8_t>{7});
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST_F(SafetensorsTest, EveryDtypeAndShapeComesBack) {
  SafetensorsFile file;
  for (DType dtype :
       {DType::u8, DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64})
    file.tensors.emplace_back(std::string(dtype_name(dtype)), Tensor::full({3, 5}, 3, dtype));
  file.tensors.emplace_back("scalar", Tensor::full({}, -1));
  file.tensors.emplace_back("none", Tensor::empty({0, 4}));
  file.metadata = {{"quote", "\"\\\n"}};
  write_safetensors(path(), file);
  const SafetensorsFile again = read_safetensors(path());
  ASSERT_EQ(again.tensors.size(), file.tensors.size());
  EXPECT_EQ(again.metadata, file.metadata);
  const std::map<std::string, Tensor> found(again.tensors.begin(), again.tensors.end());
  for (const auto& [name, tensor] : file.tensors)
    EXPECT_TRUE(same_bytes(found.at(name), tensor)) << name;
}

// Readers that map the file need aligned tensors: the data starts at a multiple of 8, and the byte
// tensor, first by name, comes last.
TEST_F(SafetensorsTest, TensorsAreAlignedAndTheBytesDependOnContentsOnly) {
  SafetensorsFile file;
  file.tensors = {{"a", Tensor::full({3}, 1, DType::u8)}, {"b", Tensor::full({1}, 1, DType::f64)}};
  write_safetensors(path(), file);
  const std::string bytes = read_text(path());
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_NE(bytes.find(R"("b":{"data_offsets":[0,8])"), std::string::npos) << bytes;
  std::swap(file.tensors[0], file.tensors[1]);
  write_safetensors(path(), file);
  EXPECT_EQ(read_text(path()), bytes);
}

TEST_F(SafetensorsTest, AnEmptyFileOfTensorsIsAFile) {
  write_safetensors(path(), {});
  EXPECT_TRUE(read_safetensors(path()).tensors.empty());
}

TEST_F(SafetensorsTest, FullDiskLeavesTheOldFile) {
  write_safetensors(path(), {{{"w", Tensor::full({4}, 2)}}, {}});
  const FileSizeLimit limit(4096);
  expect_error<IoError>(
      [&] {
        write_safetensors(path(), {{{"w", Tensor::full({4000}, 3)}}, {}});
      },
      "cannot write: File too large");
  EXPECT_EQ(read_safetensors(path()).tensors[0].second.to_vector<float>(),
            std::vector<float>(4, 2.0f));
}

TEST_F(SafetensorsTest, RejectsWhatIsNotAWholeFile) {
  expect_error<IoError>([&] { read_safetensors(path()); }, "cannot open: No such file");
  expect_rejected("", "has 0 bytes; expected a safetensors file of at least 8");
  expect_rejected("1234567", "has 7 bytes");
  const std::string whole =
      file_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd");
  expect_rejected(whole.substr(0, 30), "in a file of 30; expected at most 22");
  expect_rejected(whole.substr(0, whole.size() - 1), "has offsets [0,4) in 3 bytes of data");
  expect_rejected(std::string(8, '\xff') + "{}", "header of 18446744073709551615 bytes");
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"weights.safetensors"});
}

TEST_F(SafetensorsTest, RejectsMalformedHeaders) {
  const auto one = [](const std::string& fields) { return file_bytes("{\"a\":{" + fields + "}}"); };
  expect_rejected(file_bytes("{\"a\":"), "malformed header");
  expect_rejected(file_bytes("[]"), "header is not a JSON object");
  expect_rejected(file_bytes(R"({"a":3})"), "malformed tensor 'a'");
  expect_rejected(file_bytes(R"({"__metadata__":{"a":1}})"), "malformed __metadata__");
  expect_rejected(one(R"("dtype":"F32","shape":[0])"), "malformed tensor 'a'");
  expect_rejected(one(R"("dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0])"),
                  "tensor 'a' has dtype F8_E4M3; expected F32, F64,");
  expect_rejected(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,0])"), "integers >= 0");
  expect_rejected(one(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,0])"), "integers >= 0");
  expect_rejected(one(R"("dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4])"),
                  "malformed tensor 'a'");
  expect_rejected(one(R"("dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,0])"),
                  "malformed tensor 'a'");
  const std::string a = R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_rejected(file_bytes("{" + a + "," + a + "}"), "header names 'a' twice; expected once");
}

TEST_F(SafetensorsTest, RejectsOffsetsThatDoNotTile) {
  const auto two = [](const std::string& a, const std::string& b) {
    return file_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                          R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                      "12345678");
  };
  expect_rejected(two("[0,4]", "[2,6]"),
                  "tensor 'b' starts at 2; expected 4 (it overlaps another)");
  expect_rejected(two("[0,4]", "[0,4]"), "(it overlaps another)");
  expect_rejected(two("[0,4]", "[6,10]"), "tensor 'b' has offsets [6,10) in 8 bytes of data");
  expect_rejected(two("[0,4]", "[8,4]"), "tensor 'b' has offsets [8,4)");
  expect_rejected(two("[1,5]", "[5,8]"), "tensor 'a' starts at 1; expected 0 (bytes of no tensor");
  expect_rejected(two("[0,4]", "[4,7]"), "tensor 'b' has 3 bytes; expected u8(4)");
  expect_rejected(two("[0,4]", "[4,18446744073709551615]"), "tensor 'b' has offsets");
  expect_rejected(file_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "12345"),
                  "has 5 bytes of data, its tensors 4; expected them equal");
}

TEST_F(SafetensorsTest, RefusesToWriteANameTwice) {
  expect_error(
      [&] {
        write_safetensors(path(), {{{"a", Tensor::zeros({1})}, {"a", Tensor::zeros({1})}}, {}});
      },
      "tensor name 'a' is taken; expected unique names");
}

}  // namespace
}  // namespace limbeck::testing
