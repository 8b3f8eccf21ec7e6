// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/vocabulary.h>

#include <set>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/utf8.h>

namespace limbeck {

using nlohmann::json;

Vocabulary::Vocabulary(std::vector<char32_t> characters) : characters_(std::move(characters)) {
  LIMBECK_CHECK(!characters_.empty(), "vocabulary: no characters; expected at least one");
  for (const char32_t c : characters_)
    LIMBECK_CHECK(tokens_.emplace(c, static_cast<std::uint32_t>(tokens_.size())).second,
                  "vocabulary: ", show_character(c), " is there twice");
}

Vocabulary Vocabulary::of(std::string_view text) {
  const std::vector<char32_t> all = to_characters(text);
  const std::set<char32_t> distinct(all.begin(), all.end());
  return Vocabulary({distinct.begin(), distinct.end()});
}

Vocabulary Vocabulary::load(const std::string& path) {
  const json file = read_json_file(path);
  try {
    const JsonObject object(file, "", {"characters"});
    object.at("characters");
    std::vector<char32_t> characters;
    for (const auto& [value, where] : object.elements("characters")) {
      const std::vector<char32_t> one =
          value.is_string() ? to_characters(value.get<std::string>()) : std::vector<char32_t>{};
      LIMBECK_CHECK(one.size() == 1, where, ": is ", value.dump(), "; expected one character");
      characters.push_back(one.front());
    }
    return Vocabulary(std::move(characters));
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(path + ": " + e.what());
  }
}

void Vocabulary::save(const std::string& path) const {
  json list = json::array();
  for (const char32_t c : characters_) {
    std::string text;
    append_utf8(text, c);
    list.push_back(text);
  }
  const std::string text = json{{"characters", list}}.dump() + "\n";
  const std::string_view parts[] = {text};
  write_file_atomically(path, parts);
}

std::vector<std::uint32_t> Vocabulary::encode(std::string_view text) const {
  std::vector<std::uint32_t> tokens;
  tokens.reserve(text.size());
  std::int64_t line = 1, column = 1;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    const auto found = tokens_.find(c);
    LIMBECK_CHECK(found != tokens_.end(), "line ", line, ", column ", column, ": ",
                  show_character(c), " is not among the vocabulary's ", size(), " characters");
    tokens.push_back(found->second);
    column = c == U'\n' ? 1 : column + 1;
    line += c == U'\n';
  }
  return tokens;
}

std::string Vocabulary::decode(std::span<const std::uint32_t> tokens) const {
  std::string text;
  for (const std::uint32_t token : tokens) {
    LIMBECK_CHECK(token < characters_.size(), "vocabulary: token ", token, "; expected 0 to ",
                  size() - 1);
    append_utf8(text, characters_[token]);
  }
  return text;
}

}  // namespace limbeck
