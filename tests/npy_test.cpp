// SPDX-License-Identifier: Apache-2.0
// NumPy's array files, whole and broken.
#include <limbeck/tools/npy.h>

#include <limbeck/core/half.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/npy_files.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

class NpyTest : public ::testing::Test {
 protected:
  Tensor read(const std::string& bytes) const {
    write_text(folder_.file("a.npy"), bytes);
    return read_npy(folder_.file("a.npy"));
  }
  void refuses(const std::string& bytes, const std::string& message) const {
    expect_error<IoError>([&] { read(bytes); }, "a.npy: " + message);
  }
  TemporaryFolder folder_;
};

std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

TEST_F(NpyTest, EveryDtype) {
  const auto expect = [&]<class T>(const std::string& descr, const std::vector<T>& values) {
    const Tensor array = read(npy(descr, "(2, 3)", values));
    EXPECT_EQ(array.shape(), (Shape{2, 3}));
    EXPECT_EQ(array.to_vector<T>(), values) << descr;
  };
  expect("|u1", std::vector<std::uint8_t>{0, 1, 127, 128, 254, 255});
  expect("<i4", std::vector<std::int32_t>{0, 1, -1, 65536, -65536, 7});
  expect("<i8", std::vector<std::int64_t>{0, 1, -1, std::int64_t{1} << 40, -5, 7});
  expect("<f4", std::vector<float>{0, 0.5f, -1, 1e-30f, 1e30f, 7});
  expect("<f8", std::vector<double>{0, 0.1, -1, 1e-300, 1e300, 7});
  // 1, -2 and 65504 as IEEE half precision.
  const Tensor half = read(npy("<f2", "(3,)", std::vector<std::uint16_t>{0x3c00, 0xc000, 0x7bff}));
  EXPECT_EQ(half.dtype(), DType::f16);
  EXPECT_EQ(half.to(DType::f32).to_vector<float>(), (std::vector<float>{1, -2, 65504}));
}

TEST_F(NpyTest, EveryVersionAndRank) {
  for (const int version : {1, 2, 3}) {
    const Tensor array = read(npy_bytes(header("|u1", "False", "(1, 2, 1, 3)"), "abcdef", version));
    EXPECT_EQ(array.shape(), (Shape{1, 2, 1, 3}));
    EXPECT_EQ(array.to_vector<std::uint8_t>()[5], 'f');
  }
  EXPECT_EQ(read(npy_bytes(header("|u1", "False", "()"), "x")).shape(), Shape{});
  EXPECT_EQ(read(npy_bytes(header("|u1", "False", "(0, 4)"), "")).shape(), (Shape{0, 4}));
  // In one dimension the order says nothing, and numpy writes either.
  EXPECT_EQ(read(npy_bytes(header("|u1", "True", "(2,)"), "xy")).shape(), Shape{2});
}

TEST_F(NpyTest, SpacingAndQuotesAreFree) {
  const Tensor array =
      read(npy_bytes("{\"shape\":(2,1),\"descr\":\"|u1\",\"fortran_order\":False}", "xy"));
  EXPECT_EQ(array.shape(), (Shape{2, 1}));
}

TEST_F(NpyTest, OtherContents) {
  refuses("", "is empty or cannot be read");
  refuses("PK\x03\x04 a zip file, as .npz is", "is no .npy file");
  refuses(npy_bytes(header("|u1", "False", "(2,)"), "xy", 4), ".npy version 4; expected 1 to 3");
  refuses(npy_bytes(header(">f4", "False", "(1,)"), "abcd"),
          "holds >f4, big-endian; expected little-endian");
  refuses(npy_bytes(header("<U4", "False", "(1,)"), "abcd"),
          "holds <U4; expected |u1, <i4, <i8, <f2, <f4 or <f8");
  refuses(npy_bytes("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }", "abcd"),
          "holds records of several fields");
  refuses(npy_bytes(header("|u1", "True", "(2, 1)"), "xy"),
          "is in Fortran order; expected C order");
  refuses(npy_bytes(header("|u1", "False", "(1, 1, 1, 1, 1, 1, 1)"), "x"),
          "has 7 dimensions; expected at most 6");
}

TEST_F(NpyTest, WrongLengths) {
  const std::string whole = npy_bytes(header("<f4", "False", "(2,)"), "abcdefgh");
  refuses(whole.substr(0, whole.size() - 1), "truncated: the header promises 8 bytes, 7 follow");
  refuses(whole + "z", "1 bytes after the end of the data");
  refuses(whole.substr(0, 40), "truncated: 40 bytes; expected a header of 128");
  refuses(whole.substr(0, 7), "truncated: 7 bytes; expected a header of ");
  refuses(npy_bytes(header("<f4", "False", "(4294967296, 4294967296)"), "abcd"),
          "the header promises over 2^63 bytes");
}

TEST_F(NpyTest, MalformedHeaders) {
  refuses(npy_bytes("['descr']", ""), "malformed header at \"['descr']");
  refuses(npy_bytes("{'descr': '|u1', 'shape': (1,), }", "x"), "the header has no fortran_order");
  refuses(npy_bytes("{'descr': '|u1', 'order': (1,), }", "x"), "the header has an entry \"order\"");
  refuses(npy_bytes(header("|u1", "0", "(1,)"), "x"), "malformed header at \"0, 'shape': (1,), }");
  refuses(npy_bytes(header("|u1", "False", "(-1,)"), "x"), "malformed header at \"-1,), }");
  refuses(npy_bytes(header("|u1", "False", "(1 2)"), "x"), "malformed header at \"2), }");
  refuses(npy_bytes(header("|u1", "False", "(1,)") + "}", "x"), "malformed header at \"}");
  refuses(npy_bytes("{'descr: ", "x"), "malformed header at \"'descr: ");
}

}  // namespace
}  // namespace limbeck::testing
