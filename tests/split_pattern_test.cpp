// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/split_pattern.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tools/bpe_tokenizer.h>
#include <limbeck/tools/utf8.h>

namespace limbeck::testing {
namespace {

const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::vector<std::string> pieces(const char* pattern, const std::string& text) {
  const SplitPattern split(pattern);
  const std::vector<char32_t> characters = to_characters(text);
  std::vector<std::string> list;
  for (std::size_t at = 0; at < characters.size();) {
    std::string piece;
    for (const std::size_t end = split.piece_end(characters, at); at < end; ++at)
      append_utf8(piece, characters[at]);
    list.push_back(piece);
  }
  return list;
}

using List = std::vector<std::string>;

TEST(SplitPattern, TakesTheFirstAlternativeAndAsMuchAsItCan) {
  EXPECT_EQ(pieces("ab|abc|c+", "abcccab"), (List{"ab", "ccc", "ab"}));
  EXPECT_EQ(pieces("a*ab?", "aaab"), (List{"aaab"}));  // a* gives one back
  EXPECT_EQ(pieces(R"(\p{N}{1,3})", "1234567"), (List{"123", "456", "7"}));
  EXPECT_EQ(pieces(R"(\d{2})", "12345"), (List{"12", "34", "5"}));
  EXPECT_EQ(pieces("x{2,}", "xxxxyx"), (List{"xxxx", "yx"}));
}

TEST(SplitPattern, WhatLiesBetweenMatchesIsAPiece) {
  EXPECT_EQ(pieces("b+", "aabba"), (List{"aa", "bb", "a"}));
  EXPECT_EQ(pieces("b*", "aab"), (List{"aa", "b"}));  // an empty match is none
}

TEST(SplitPattern, ClassesAndGroups) {
  EXPECT_EQ(pieces(R"([a-c\s]+|[^a-c\s])", "ab xy"), (List{"ab ", "x", "y"}));
  EXPECT_EQ(pieces(R"(\P{L}+|\S)", "12a"), (List{"12", "a"}));
  EXPECT_EQ(pieces("(?:ab)?c", "abcc"), (List{"abc", "c"}));
  EXPECT_EQ(pieces("a(?=b)|b(?!b)", "abb"), (List{"a", "b", "b"}));
  EXPECT_EQ(pieces(".", "a\n"), (List{"a", "\n"}));
  EXPECT_EQ(pieces(R"([\]\-^]+)", "a]-^"), (List{"a", "]-^"}));
}

// U+017F and U+212A are the other characters whose case folds to an ASCII letter.
TEST(SplitPattern, FoldsCaseWithinAGroup) {
  EXPECT_EQ(pieces("(?i:s|[k-m])x|S", "SxsxLx\u017fx\u212axS"),
            (List{"Sx", "sx", "Lx", "\u017fx", "\u212ax", "S"}));
  EXPECT_EQ(pieces("(?i:a)b", "AbAB"), (List{"Ab", "AB"}));
}

TEST(SplitPattern, SplitsAsTheWrittenOutPatternOfGpt2) {
  for (const char* text :
       {"it's we'll'x 12b !?  a", " \n\tx  ", "'re 're''s  ", "a\u00a0 \u0661b"}) {
    const std::vector<char32_t> characters = to_characters(text);
    const SplitPattern split(kGpt2);
    for (std::size_t at = 0; at < characters.size(); at = bpe_piece_end(characters, at))
      EXPECT_EQ(split.piece_end(characters, at), bpe_piece_end(characters, at)) << text << at;
  }
}

// Neither the depth nor the time of a match grows with what it repeats over and over.
TEST(SplitPattern, LongRunsAreNoDeepRecursion) {
  const std::string spaces(200000, ' ');
  EXPECT_EQ(pieces(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces).size(), 1u);
}

TEST(SplitPattern, Rejections) {
  const auto refuses = [](const char* pattern, const char* part) {
    expect_error([&] { SplitPattern{pattern}; }, part);
  };
  refuses("a)", "pattern, character 1: ')' without '('");
  refuses("(a", "character 2: '(' without ')'");
  refuses("[a", "character 2: ends too early");
  refuses("*a", "is not supported here");
  refuses("a+?", "character 2: repetitions that are not as long as they can be");
  refuses("(?:ab)+", "a group can only be repeated by ?");
  refuses("(?<n>a)", "expected (?:, (?i:, (?= or (?!");
  refuses(R"(\p{Lu})", "expected \\p{L} or \\p{N}");
  refuses(R"(\b)", "is not supported");
  refuses("a{3,2}", "expected {m}, {m,} or {m,n} with m <= n");
  refuses("[z-a]", "is no range of characters");
}

}  // namespace
}  // namespace limbeck::testing
