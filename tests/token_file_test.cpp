// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/token_file.h>

#include <limbeck/core/error.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

TEST(TokenFile, ReadsLittleEndianNumbers) {
  const TemporaryFolder folder;
  write_text(folder.file("t.bin"), std::string("\x01\x02\x03\x04\xff\xff\x00\x80", 8));
  const TokenRow narrow = map_tokens(folder.file("t.bin"), 2);
  ASSERT_EQ(narrow.count, 4);
  EXPECT_EQ(narrow[0], 513u);
  EXPECT_EQ(narrow[2], 65535u);
  const TokenRow wide = map_tokens(folder.file("t.bin"), 4);
  ASSERT_EQ(wide.count, 2);
  EXPECT_EQ(wide[1], 0x8000ffffu);
}

TEST(TokenFile, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  for (const int bytes : {2, 4}) {
    write_tokens(folder.file("t.bin"), {0, 50256, 65535}, bytes);
    const TokenRow row = map_tokens(folder.file("t.bin"), bytes);
    ASSERT_EQ(row.count, 3);
    EXPECT_EQ(row[0], 0u);
    EXPECT_EQ(row[1], 50256u);
    EXPECT_EQ(row[2], 65535u);
  }
}

TEST(TokenFile, OutlivesItsName) {
  TokenRow row;
  {
    const TemporaryFolder folder;
    write_tokens(folder.file("t.bin"), {7, 8}, 2);
    row = map_tokens(folder.file("t.bin"), 2).part(1, 2);
  }
  EXPECT_EQ(row[0], 8u);
}

TEST(TokenFile, Rejections) {
  const TemporaryFolder folder;
  write_text(folder.file("empty"), "");
  write_text(folder.file("odd"), "abc");
  write_text(folder.file("six"), "abcdef");
  expect_error<IoError>([&] { map_tokens(folder.file("none"), 2); },
                        folder.file("none") + ": cannot open: No such file");
  expect_error<IoError>([&] { map_tokens(folder.file("empty"), 2); }, "empty: is empty");
  expect_error<IoError>([&] { map_tokens(folder.file("odd"), 2); },
                        "odd: 3 bytes; expected a multiple of 2");
  expect_error<IoError>([&] { map_tokens(folder.file("six"), 4); },
                        "six: 6 bytes; expected a multiple of 4");
  expect_error([&] { map_tokens(folder.file("six"), 3); },
               "token file: 3 bytes a token; expected 2 or 4");
  expect_error(
      [&] {
        write_tokens(folder.file("t"), {1, 65536}, 2);
      },
      "token file: token 65536 at place 1; expected at most 65535 in 2 bytes");
}

}  // namespace
}  // namespace limbeck::testing
