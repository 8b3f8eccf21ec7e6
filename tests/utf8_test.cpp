// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/utf8.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Utf8, ReadsCharactersOfEveryLength) {
  EXPECT_EQ(to_characters("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            (std::vector<char32_t>{U'a', U'\u00e9', U'\u20ac', U'\U0001f600'}));
}

TEST(Utf8, WritesWhatItReads) {
  // Both ends of each length, and around the surrogates.
  for (const char32_t c :
       {0x0u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xd7ffu, 0xe000u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string text;
    append_utf8(text, c);
    EXPECT_EQ(to_characters(text), std::vector<char32_t>{c}) << text;
  }
}

TEST(Utf8, RefusesEverythingElse) {
  for (const char* bad : {"ok\x80", "ok\xc3", "ok\xc3(", "ok\xc0\xaf", "ok\xe0\x80\xaf",
                          "ok\xed\xa0\x80", "ok\xf4\x90\x80\x80", "ok\xf0\x8f\xbf\xbf", "ok\xff"})
    expect_error([&] { to_characters(bad); }, "byte 2 (");
  expect_error([&] { to_characters("\xff"); }, "byte 0 (255) begins no UTF-8 character");
}

TEST(Utf8, ShowsCharacters) {
  EXPECT_EQ(show_character(U'\u00e9'), "'\xc3\xa9' (U+00E9)");
  EXPECT_EQ(show_character(U'\t'), "U+0009");
  EXPECT_EQ(show_character(U'\U0001f600'), "'\xf0\x9f\x98\x80' (U+1F600)");
}

}  // namespace
}  // namespace limbeck::testing
