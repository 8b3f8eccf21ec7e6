// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/text_dataset.h>

#include <limbeck/core/error.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/token_file.h>
#include <limbeck/tools/vocabulary.h>

namespace limbeck::testing {
namespace {

std::vector<std::uint32_t> all(const TokenRow& row) {
  std::vector<std::uint32_t> tokens;
  for (std::int64_t i = 0; i < row.count; ++i) tokens.push_back(row[i]);
  return tokens;
}

using Tokens = std::vector<std::uint32_t>;

class TextData : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    write_text(folder_.file(name), text);
    return folder_.file(name);
  }
  const TemporaryFolder folder_;
};

TEST_F(TextData, TheEndOfATextIsToTestOn) {
  const std::string path = write("input.txt", "abcabcabdd");
  const TextOptions options{.context = 4, .validation = 0.3};
  for (const std::string& source : {path, path.substr(0, path.rfind('/'))}) {
    const TextTrainTest data = load_text(source, options);
    EXPECT_EQ(all(data.train.tokens), (Tokens{0, 1, 2, 0, 1, 2, 0}));
    EXPECT_EQ(all(data.test.tokens), (Tokens{1, 3, 3}));  // d occurs here alone and has a number
    EXPECT_EQ(data.train.vocabulary, 4);
    EXPECT_EQ(data.test.characters_per_token, 1);
    EXPECT_NE(data.train.digest, data.test.digest);
    EXPECT_EQ(data.train.name, path + "/train");
  }
  const TextTrainTest data = load_text(path, options);
  const auto batches = data.train.source(Device::cpu());
  EXPECT_EQ(batches->size(), 2);  // six targets in windows of four
  EXPECT_EQ(batches->classes(), 4);
}

TEST_F(TextData, NoCharacterIsCutInTwo) {
  // Ten bytes, of which 5 are to test on: the cut would fall into the third character.
  const std::string path = write("t.txt", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
  const TextTrainTest data = load_text(path, {.context = 1, .validation = 0.5});
  EXPECT_EQ(data.train.tokens.count, 3);
  EXPECT_EQ(data.test.tokens.count, 2);
}

TEST_F(TextData, AVocabularyFileSaysWhatTheNumbersAre) {
  const std::string vocabulary = write("v.json", R"({"characters": ["c", "b", "a", "z"]})");
  const TextOptions options{.context = 2, .tokenizer = vocabulary, .validation = 0.5};
  const TextTrainTest data = load_text(write("t.txt", "abcb"), options);
  EXPECT_EQ(all(data.train.tokens), (Tokens{2, 1}));
  EXPECT_EQ(data.train.vocabulary, 4);
  expect_error([&] { load_text(write("t.txt", "abcd"), options); },
               "t.txt/test: line 1, column 2: 'd' (U+0064) is not among the vocabulary's 4");
}

TEST_F(TextData, TokenFilesAreReadWhereTheyLie) {
  const Tokens tokens = {5, 6, 7, 8, 9, 1};
  write_tokens(folder_.file("t.bin"), tokens, 4);
  TextOptions options{
      .format = "tokens", .context = 3, .vocabulary = 10, .token_bytes = 4, .validation = 0.34};
  const TextTrainTest one = load_text(folder_.file("t.bin"), options);
  EXPECT_EQ(all(one.train.tokens), (Tokens{5, 6, 7, 8}));
  EXPECT_EQ(all(one.test.tokens), (Tokens{9, 1}));
  EXPECT_EQ(one.test.vocabulary, 10);
  EXPECT_EQ(one.test.characters_per_token, 0);
  options.token_bytes = 2;
  write_tokens(folder_.file("train.bin"), tokens, 2);
  write_tokens(folder_.file("val.bin"), {1, 2}, 2);
  const std::string folder = folder_.file("").substr(0, folder_.file("").size() - 1);
  const TextTrainTest two = load_text(folder, options);
  EXPECT_EQ(all(two.train.tokens), tokens);
  EXPECT_EQ(all(two.test.tokens), (Tokens{1, 2}));
}

TEST_F(TextData, Rejections) {
  const std::string path = write("t.txt", "abc");
  const auto refuses = [&](const TextOptions& options, const std::string& part) {
    expect_error([&] { load_text(path, options); }, part);
  };
  refuses({.format = "words", .context = 1}, "format is \"words\"; expected text or tokens");
  refuses({.context = 0}, "context is 0; expected at least 1");
  refuses({.context = 1, .validation = 1}, "validation is 1; expected between 0 and 1");
  refuses({.format = "tokens", .context = 1}, "vocabulary is 0; expected at least 1");
  expect_error<IoError>([&] { load_text(path, {.context = 1, .validation = 0.5}); },
                        "t.txt/test: 1 tokens; expected at least 2");
  expect_error<IoError>([&] { load_text(write("e.txt", ""), {.context = 1}); },
                        "e.txt: is empty; expected text");
  expect_error([&] { load_text(write("b.txt", "abcdefgh\xff"), {.context = 1}); },
               "b.txt/train: byte 8 (255) begins no UTF-8 character");
  expect_error<IoError>([&] { load_text(folder_.file("none"), {.context = 1}); },
                        "none: cannot open");
}

}  // namespace
}  // namespace limbeck::testing
