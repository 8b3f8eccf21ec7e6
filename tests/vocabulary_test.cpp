// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/vocabulary.h>

#include <limbeck/core/error.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

using Tokens = std::vector<std::uint32_t>;

TEST(Vocabulary, NumbersTheCharactersOfAText) {
  const Vocabulary vocabulary = Vocabulary::of(
      "b\xc3\xa9"
      "a\nb");
  EXPECT_EQ(vocabulary.size(), 4);  // newline, a, b, e with its accent
  EXPECT_EQ(vocabulary.encode("ab\xc3\xa9\n"), (Tokens{1, 2, 3, 0}));
  EXPECT_EQ(vocabulary.decode(Tokens{3, 2, 0, 1}),
            "\xc3\xa9"
            "b\na");
  EXPECT_EQ(vocabulary.encode(""), Tokens{});
}

TEST(Vocabulary, LoadsWhatItSaved) {
  const TemporaryFolder folder;
  const Vocabulary saved = Vocabulary::of("\"\\\n\t \xe2\x82\xac");
  saved.save(folder.file("v.json"));
  const Vocabulary loaded = Vocabulary::load(folder.file("v.json"));
  EXPECT_EQ(loaded.size(), saved.size());
  const Tokens all = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(loaded.decode(all), saved.decode(all));
}

TEST(Vocabulary, KeepsTheOrderOfTheFile) {
  const TemporaryFolder folder;
  write_text(folder.file("v.json"), R"({"characters": ["z", "a"]})");
  EXPECT_EQ(Vocabulary::load(folder.file("v.json")).encode("za"), (Tokens{0, 1}));
}

TEST(Vocabulary, SaysWhereAnUnknownCharacterStands) {
  const Vocabulary vocabulary = Vocabulary::of("ab\n");
  expect_error([&] { vocabulary.encode("ab\nba\nabbx"); },
               "line 3, column 4: 'x' (U+0078) is not among the vocabulary's 3 characters");
  expect_error([&] { vocabulary.encode("ab\xff"); }, "byte 2 (255) begins no UTF-8 character");
}

TEST(Vocabulary, Rejections) {
  const TemporaryFolder folder;
  const auto refuses = [&](const char* text, const std::string& part) {
    write_text(folder.file("v.json"), text);
    expect_error([&] { Vocabulary::load(folder.file("v.json")); }, "v.json: " + part);
  };
  refuses(R"({"characters": ["a", "bc"]})", "characters.1: is \"bc\"; expected one character");
  refuses(R"({"characters": ["a", 3]})", "characters.1: is 3; expected one character");
  refuses(R"({"characters": ["a", "a"]})", "vocabulary: 'a' (U+0061) is there twice");
  refuses(R"({"characters": []})", "vocabulary: no characters");
  refuses(R"({"chars": []})", "chars: unknown key; did you mean \"characters\"?");
  refuses("{", "parse error");
  expect_error<IoError>([&] { Vocabulary::load(folder.file("none")); }, "none: cannot be read");
  expect_error([&] { Vocabulary::of(""); }, "vocabulary: no characters");
  expect_error(
      [&] {
        Vocabulary::of("a").decode(Tokens{0, 1});
      },
      "vocabulary: token 1; expected 0 to 0");
}

}  // namespace
}  // namespace limbeck::testing
