// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bpe_tokenizer.h>

#include <algorithm>
#include <limits>

#include <limbeck/core/error.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/unicode_classes.h>
#include <limbeck/tools/utf8.h>

namespace limbeck {
namespace {

using nlohmann::json;

const std::vector<std::string_view> file_keys = {"version",        "truncation", "padding",
                                                 "added_tokens",   "normalizer", "pre_tokenizer",
                                                 "post_processor", "decoder",    "model"};

/// The character that stands for each byte in a file: itself where Latin-1 prints it, or else one
/// from U+0100 on, in the bytes' order.
const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> table = [] {
    std::array<char32_t, 256> characters{};
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
      characters[b] = prints ? b : next++;
    }
    return characters;
  }();
  return table;
}

/// What a token's name in the file stands for: the name itself if a character is no byte's.
std::string bytes_of_name(const std::string& name) {
  static const std::unordered_map<char32_t, char> bytes = [] {
    std::unordered_map<char32_t, char> map;
    for (std::size_t b = 0; b < 256; ++b) map[byte_characters()[b]] = static_cast<char>(b);
    return map;
  }();
  std::string text;
  for (const char32_t c : to_characters(name)) {
    const auto found = bytes.find(c);
    if (found == bytes.end()) return name;
    text += found->second;
  }
  return text;
}

std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return std::uint64_t{left} << 32 | right;
}

bool is_absent(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() || *found == "";
}

/// Refuses a part of the file unless it is absent or an object of one of the types.
void check_part(const json& file, const char* key, const std::string& type, bool required) {
  if (is_absent(file, key)) {
    LIMBECK_CHECK(!required, key, ": is absent; expected ", type);
    return;
  }
  const json& part = file.at(key);
  LIMBECK_CHECK(part.is_object() && part.contains("type") && part["type"].is_string(), key,
                ": has no type; expected ", type);
  const std::string found = part["type"].get<std::string>();
  LIMBECK_CHECK(found == type, key, ": ", found, " is not supported; expected ", type);
}

/// ByteLevel changes offsets alone, and a template what stands around a whole text.
void check_post_processor(const json& file) {
  if (is_absent(file, "post_processor")) return;
  const json& part = file["post_processor"];
  const bool many = part.is_object() && part.value("type", json()) == "Sequence";
  const json list = many ? part.value("processors", json::array()) : json::array({part});
  for (const json& one : list)
    if (!one.is_object() || one.value("type", json()) != "TemplateProcessing")
      check_part({{"post_processor", one}}, "post_processor", "ByteLevel", true);
}

/// Refuses parts and options that would change the tokens.
void check_supported(const json& file) {
  for (const char* key : {"normalizer", "truncation", "padding"})
    LIMBECK_CHECK(is_absent(file, key), key, ": ",
                  file[key].is_object() && file[key].contains("type") ? file[key]["type"].dump()
                                                                      : file[key].dump(),
                  " is not supported; expected null");
  check_post_processor(file);
  check_part(file, "decoder", "ByteLevel", false);
}

/// A ByteLevel pre_tokenizer, with or without GPT-2's pattern.
void check_byte_level(const json& part, const std::string& path, bool splits) {
  const JsonObject object(part, path, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
  LIMBECK_CHECK(!object.flag("add_prefix_space", true), path,
                ".add_prefix_space: true is not supported; expected false");
  LIMBECK_CHECK(object.flag("use_regex", true) == splits, path, ".use_regex: ",
                splits ? "false is not supported; expected true"
                       : "true is not supported after a Split; expected false");
}

/// The pattern of a sequence [Split, ByteLevel].
std::string split_pattern(const json& sequence) {
  const JsonObject object(sequence, "pre_tokenizer", {"type", "pretokenizers"});
  const std::vector<JsonObject::Element> parts = object.elements("pretokenizers");
  LIMBECK_CHECK(parts.size() == 2, "pre_tokenizer.pretokenizers: has ", parts.size(),
                " parts; expected a Split and a ByteLevel");
  const JsonObject split(parts[0].value, parts[0].path, {"type", "pattern", "behavior", "invert"});
  split.choice("type", {"Split"});
  split.choice("behavior", {"Isolated"});
  LIMBECK_CHECK(!split.flag("invert", false), split.path("invert"),
                ": true is not supported; expected false");
  JsonObject(parts[1].value, parts[1].path,
             {"type", "add_prefix_space", "trim_offsets", "use_regex"})
      .choice("type", {"ByteLevel"});
  check_byte_level(parts[1].value, parts[1].path, false);
  return JsonObject(split.at("pattern"), split.path("pattern"), {"Regex"}).text("Regex");
}

/// A token's number; those from 2^31 on are no one's.
std::uint32_t token_number(const json& value, const std::string& where) {
  LIMBECK_CHECK(value.is_number_unsigned() && value.get<std::uint64_t>() < (1u << 31), where,
                ": is ", value.dump(), "; expected a token's number");
  return value.get<std::uint32_t>();
}

/// The halves of a merge, "a b" or ["a", "b"].
std::pair<std::string, std::string> halves(const json& merge, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const std::string both = merge.is_string() ? merge.get<std::string>() : "";
  const std::size_t space = both.find(' ');
  LIMBECK_CHECK(space != std::string::npos && both.find(' ', space + 1) == std::string::npos, where,
                ": is ", merge.dump(), R"(; expected "a b" or ["a", "b"])");
  return {both.substr(0, space), both.substr(space + 1)};
}

enum class Kind { letter, number, space, other };

Kind kind_of(char32_t c) {
  if (is_unicode_letter(c)) return Kind::letter;
  if (is_unicode_number(c)) return Kind::number;
  return is_unicode_space(c) ? Kind::space : Kind::other;
}

/// How many characters a contraction at an apostrophe has, the apostrophe included; 0: none.
std::size_t contraction(const std::vector<char32_t>& text, std::size_t at) {
  const char32_t first = at + 1 < text.size() ? text[at + 1] : 0;
  const char32_t second = at + 2 < text.size() ? text[at + 2] : 0;
  if (first == U's' || first == U't' || first == U'm' || first == U'd') return 2;
  if ((first == U'r' || first == U'v') && second == U'e') return 3;
  return first == U'l' && second == U'l' ? 3 : 0;
}

}  // namespace

std::size_t bpe_piece_end(const std::vector<char32_t>& text, std::size_t at) {
  if (text[at] == U'\'')
    if (const std::size_t length = contraction(text, at)) return at + length;
  std::size_t end = at;
  if (text[at] == U' ' && at + 1 < text.size() && kind_of(text[at + 1]) != Kind::space) ++end;
  const Kind kind = kind_of(text[end]);
  while (end < text.size() && kind_of(text[end]) == kind) ++end;
  // The last of several spaces belongs to the word behind them.
  return kind == Kind::space && end < text.size() && end > at + 1 ? end - 1 : end;
}

BpeTokenizer BpeTokenizer::load(const std::string& path) {
  const json file = read_json_file(path);
  try {
    return BpeTokenizer(file);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(path + ": " + e.what());
  }
}

BpeTokenizer::BpeTokenizer(const json& file) {
  const JsonObject object(file, "", file_keys);
  check_part(file, "model", "BPE", true);
  check_supported(file);
  read_split(file);
  read_model(object.at("model"));
  read_added(file);
  number_tokens();
}

void BpeTokenizer::read_split(const json& file) {
  const json part = is_absent(file, "pre_tokenizer") ? json() : file["pre_tokenizer"];
  if (part.is_object() && part.value("type", json()) == "Sequence") {
    try {
      pattern_.emplace(split_pattern(part));
    } catch (const std::invalid_argument& e) {
      const std::string message = e.what();
      const bool placed = message.starts_with("pre_tokenizer");
      throw std::invalid_argument((placed ? "" : "pre_tokenizer.pretokenizers.0.") + message);
    }
    return;
  }
  check_part(file, "pre_tokenizer", "ByteLevel", true);
  check_byte_level(part, "pre_tokenizer", true);
}

void BpeTokenizer::read_model(const json& model) {
  const JsonObject object(
      model, "model",
      {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
       "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix", "dropout"})
    LIMBECK_CHECK(is_absent(model, key), "model.", key, ": ", model[key].dump(),
                  " is not supported; expected null");
  LIMBECK_CHECK(!object.flag("byte_fallback", false),
                "model.byte_fallback: true is not supported; expected false");
  ignore_merges_ = object.flag("ignore_merges", false);
  const json& vocabulary = object.at("vocab");
  LIMBECK_CHECK(vocabulary.is_object(), "model.vocab: is no object");
  for (const auto& [name, value] : vocabulary.items())
    tokens_[name] = token_number(value, "model.vocab: token " + json(name).dump());
  read_merges(object.at("merges"));
}

std::uint32_t BpeTokenizer::token_of(const std::string& name, const std::string& where) const {
  const auto found = tokens_.find(name);
  LIMBECK_CHECK(found != tokens_.end(), where, ": ", json(name).dump(),
                " is not in the vocabulary");
  return found->second;
}

void BpeTokenizer::read_merges(const json& merges) {
  LIMBECK_CHECK(merges.is_array(), "model.merges: is no array");
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string where = detail::concat("model.merges.", rank);
    const auto [left, right] = halves(merges[rank], where);
    const Merge merge = {static_cast<std::uint32_t>(rank), token_of(left + right, where)};
    merges_[pair_key(token_of(left, where), token_of(right, where))] = merge;
  }
}

void BpeTokenizer::read_added(const json& file) {
  if (is_absent(file, "added_tokens")) return;
  const JsonObject root(file, "", file_keys);
  const std::vector<JsonObject::Element> list = root.elements("added_tokens");
  for (const auto& [value, where] : list) {
    const JsonObject token(
        value, where,
        {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    for (const char* key : {"single_word", "lstrip", "rstrip"})
      LIMBECK_CHECK(!token.flag(key, false), where, ".", key,
                    ": true is not supported; expected false");
    const std::string text = token.text("content");
    LIMBECK_CHECK(!text.empty(), where, ".content: is empty");
    const std::uint32_t number = token_number(token.at("id"), where + ".id");
    const auto [named, fresh] = tokens_.emplace(text, number);
    LIMBECK_CHECK(fresh || named->second == number, where, ".id: is ", number,
                  "; the vocabulary has ", named->second);
    added_[token.flag("normalized", false)].push_back({text, number});
  }
  for (auto& one : added_)
    std::stable_sort(one.begin(), one.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.text.size() > b.text.size();
    });
}

void BpeTokenizer::number_tokens() {
  bytes_of_.resize(tokens_.size());
  std::vector<bool> taken(tokens_.size());
  for (const auto& [name, token] : tokens_) {
    LIMBECK_CHECK(token < taken.size() && !taken[token], "token ", token, " (", json(name).dump(),
                  ") is there twice or beyond a gap; expected the numbers 0 to ", size() - 1);
    taken[token] = true;
    bytes_of_[token] = bytes_of_name(name);
    if (ignore_merges_) whole_[bytes_of_[token]] = token;
  }
  for (const auto& list : added_)
    for (const AddedToken& added : list) bytes_of_[added.token] = added.text;
  for (std::size_t b = 0; b < 256; ++b) {
    std::string name;
    append_utf8(name, byte_characters()[b]);
    const auto found = tokens_.find(name);
    byte_tokens_[b] = found == tokens_.end() ? -1 : std::int64_t{found->second};
  }
}

BpeTokenizer::Tokens BpeTokenizer::merge_piece(std::string_view piece) const {
  if (ignore_merges_)
    if (const auto found = whole_.find(std::string(piece)); found != whole_.end())
      return {found->second};
  Tokens tokens;
  for (const char c : piece) {
    const unsigned byte = static_cast<unsigned char>(c);
    LIMBECK_CHECK(byte_tokens_[byte] >= 0, "byte ", byte, " of \"", piece, "\" has no token");
    tokens.push_back(static_cast<std::uint32_t>(byte_tokens_[byte]));
  }
  for (;;) {
    Merge best = {std::numeric_limits<std::uint32_t>::max(), 0};
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = merges_.find(pair_key(tokens[i], tokens[i + 1]));
      if (found == merges_.end() || found->second.rank >= best.rank) continue;
      best = found->second;
      place = i;
    }
    if (best.rank == std::numeric_limits<std::uint32_t>::max()) return tokens;
    tokens[place] = best.token;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

void BpeTokenizer::encode_words(std::string_view text, Pieces& pieces, Tokens& tokens) const {
  const std::vector<char32_t> characters = to_characters(text);
  std::size_t byte = 0;
  for (std::size_t at = 0; at < characters.size();) {
    const std::size_t begin = byte;
    const std::size_t end =
        pattern_ ? pattern_->piece_end(characters, at) : bpe_piece_end(characters, at);
    for (; at < end; ++at) next_character(text, byte);
    const std::string_view piece = text.substr(begin, byte - begin);
    auto found = pieces.find(piece);
    if (found == pieces.end()) found = pieces.emplace(piece, merge_piece(piece)).first;
    tokens.insert(tokens.end(), found->second.begin(), found->second.end());
  }
}

void BpeTokenizer::encode_part(std::string_view text, std::size_t list, Pieces& pieces,
                               Tokens& tokens) const {
  if (list == added_.size()) return encode_words(text, pieces, tokens);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size() && !added_[list].empty();) {
    const auto found =
        std::find_if(added_[list].begin(), added_[list].end(),
                     [&](const AddedToken& a) { return text.substr(at).starts_with(a.text); });
    if (found == added_[list].end()) {
      ++at;
      continue;
    }
    encode_part(text.substr(begin, at - begin), list + 1, pieces, tokens);
    tokens.push_back(found->token);
    begin = at += found->text.size();
  }
  encode_part(text.substr(begin), list + 1, pieces, tokens);
}

std::vector<std::uint32_t> BpeTokenizer::encode(std::string_view text) const {
  for (std::size_t at = 0; at < text.size();) next_character(text, at);  // names the byte's place
  Tokens tokens;
  Pieces pieces;
  encode_part(text, 0, pieces, tokens);
  return tokens;
}

std::string BpeTokenizer::decode(std::span<const std::uint32_t> tokens) const {
  std::string text;
  for (const std::uint32_t token : tokens) {
    LIMBECK_CHECK(token < bytes_of_.size(), "bpe_tokenizer: token ", token, "; expected 0 to ",
                  size() - 1);
    text += bytes_of_[token];
  }
  return text;
}

}  // namespace limbeck
