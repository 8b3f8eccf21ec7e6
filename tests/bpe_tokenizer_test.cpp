// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bpe_tokenizer.h>

#include <limbeck/core/error.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/text_dataset.h>
#include <limbeck/tools/utf8.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;
using Tokens = std::vector<std::uint32_t>;

const std::string fixtures = LIMBECK_SOURCE_DIR "/tests/fixtures/";

/// a, b, c, a space (U+0120) and three merges: ab, then abc, then bc.
json small_file() {
  return parse_json(R"({
    "added_tokens": [{"id": 7, "content": "<e>", "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "model": {"type": "BPE",
              "vocab": {"a": 0, "b": 1, "c": 2, "Ġ": 3, "ab": 4, "abc": 5, "bc": 6},
              "merges": ["a b", ["ab", "c"], "b c"]}})",
                    "small");
}

std::vector<std::string> pieces(const std::string& text) {
  const std::vector<char32_t> characters = to_characters(text);
  std::vector<std::string> list;
  for (std::size_t at = 0; at < characters.size();) {
    std::string piece;
    for (const std::size_t end = bpe_piece_end(characters, at); at < end; ++at)
      append_utf8(piece, characters[at]);
    list.push_back(piece);
  }
  return list;
}

TEST(BpeTokenizer, GivesTheTokensOfHuggingFace) {
  const auto tokenizer = load_tokenizer(fixtures + "bpe_tokenizer.json");
  EXPECT_GT(tokenizer->size(), 300);
  const json cases = read_json_file(fixtures + "bpe_cases.json");
  EXPECT_GE(cases.size(), 16u);
  for (const json& one : cases) {
    const auto text = one.at("text").get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), one.at("tokens").get<Tokens>()) << one.dump();
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

/// Llama 3's pattern and special tokens, in a file as its own.
TEST(BpeTokenizer, GivesTheTokensOfHuggingFaceForAPatternOfTheFile) {
  const auto tokenizer = load_tokenizer(fixtures + "bpe_split_tokenizer.json");
  const json cases = read_json_file(fixtures + "bpe_split_cases.json");
  EXPECT_GE(cases.size(), 20u);
  for (const json& one : cases) {
    const auto text = one.at("text").get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), one.at("tokens").get<Tokens>()) << one.dump();
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(BpeTokenizer, SplitsAsThePatternDoes) {
  using List = std::vector<std::string>;
  EXPECT_EQ(pieces("it's we'll'x"), (List{"it", "'s", " we", "'ll", "'", "x"}));
  EXPECT_EQ(pieces("a  12b !?"), (List{"a", " ", " 12", "b", " !?"}));
  EXPECT_EQ(pieces(" \n\tx  "), (List{" \n", "\t", "x", "  "}));
}

TEST(BpeTokenizer, MergesTheLowestRankFirst) {
  const BpeTokenizer tokenizer(small_file());
  EXPECT_EQ(tokenizer.size(), 8);
  EXPECT_EQ(tokenizer.encode("abc bc cab"), (Tokens{5, 3, 6, 3, 2, 4}));
  EXPECT_EQ(tokenizer.encode("ab<e>c"), (Tokens{4, 7, 2}));
  EXPECT_EQ(tokenizer.decode(Tokens{5, 3, 7}), "abc <e>");
  json whole = small_file();
  whole["model"]["merges"] = json::array({"a b"});
  EXPECT_EQ(BpeTokenizer(whole).encode("abc"), (Tokens{4, 2}));
  whole["model"]["ignore_merges"] = true;
  EXPECT_EQ(BpeTokenizer(whole).encode("abc"), Tokens{5});
}

TEST(BpeTokenizer, RejectsTextAndTokensItDoesNotHave) {
  const BpeTokenizer tokenizer(small_file());
  expect_error([&] { tokenizer.encode("ab d"); }, "byte 100 of \" d\" has no token");
  expect_error([&] { tokenizer.encode("ab\xff"); }, "byte 2 (255) begins no UTF-8 character");
  expect_error([&] { tokenizer.decode(Tokens{8}); }, "bpe_tokenizer: token 8; expected 0 to 7");
}

TEST(BpeTokenizer, RejectsFilesItDoesNotSupport) {
  const TemporaryFolder folder;
  const auto refuses = [&](const char* place, const char* value, const std::string& part) {
    json file = small_file();
    file[json::json_pointer(place)] = json::parse(value);
    write_text(folder.file("t.json"), file.dump());
    expect_error([&] { load_tokenizer(folder.file("t.json")); }, "t.json: " + part);
  };
  refuses("/model/type", R"("Unigram")", "model: Unigram is not supported; expected BPE");
  refuses("/normalizer", R"({"type": "NFC"})", "normalizer: \"NFC\" is not supported");
  refuses("/pre_tokenizer", R"({"type": "Whitespace"})",
          "pre_tokenizer: Whitespace is not supported; expected ByteLevel");
  refuses("/pre_tokenizer", "null", "pre_tokenizer: is absent; expected ByteLevel");
  refuses("/pre_tokenizer/add_prefix_space", "true", "pre_tokenizer.add_prefix_space: true");
  refuses("/pre_tokenizer/use_regex", "false", "pre_tokenizer.use_regex: false");
  refuses("/post_processor", R"({"type": "RobertaProcessing"})",
          "post_processor: RobertaProcessing is not supported");
  refuses("/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": []})",
          "pre_tokenizer.pretokenizers: has 0 parts; expected a Split and a ByteLevel");
  refuses("/pre_tokenizer", R"j({"type": "Sequence", "pretokenizers": [
                                  {"type": "Split", "pattern": {"Regex": "a(?<b>c)"},
                                   "behavior": "Isolated"},
                                  {"type": "ByteLevel", "add_prefix_space": false,
                                   "use_regex": false}]})j",
          "pre_tokenizer.pretokenizers.0.pattern, character 4: expected (?:, (?i:, (?= or (?!");
  refuses("/decoder", R"({"type": "WordPiece"})", "decoder: WordPiece is not supported");
  refuses("/truncation", R"({"max_length": 4})", "truncation: {\"max_length\":4}");
  refuses("/model/byte_fallback", "true", "model.byte_fallback: true is not supported");
  refuses("/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix: \"</w>\"");
  refuses("/model/dropout", "0.1", "model.dropout: 0.1 is not supported");
  refuses("/model/merges/0", R"("ab")", "model.merges.0: is \"ab\"; expected \"a b\"");
  refuses("/model/merges/0", R"("a z")", "model.merges.0: \"az\" is not in the vocabulary");
  refuses("/model/vocab/a", "-1", "model.vocab: token \"a\": is -1; expected a token's number");
  refuses("/model/vocab/a", "1", "token 1 (");
  refuses("/model/vocab/a", "20", "token 20 (\"a\") is there twice or beyond a gap");
  refuses("/added_tokens/0/lstrip", "true", "added_tokens.0.lstrip: true is not supported");
  refuses("/added_tokens/0/content", R"("a")", "added_tokens.0.id: is 7; the vocabulary has 0");
  refuses("/modl", "1", "modl: unknown key");
}

}  // namespace
}  // namespace limbeck::testing
