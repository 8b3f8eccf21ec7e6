// SPDX-License-Identifier: Apache-2.0
// Every character is a token.
#pragma once

#include <unordered_map>

#include <limbeck/tools/tokenizer.h>

namespace limbeck {

/// Characters are Unicode code points, numbered in the order of a list.
class Vocabulary : public Tokenizer {
 public:
  /// The characters of a text, ordered by code point.
  static Vocabulary of(std::string_view text);
  /// Reads the file save() writes: {"characters": ["\n", " ", "!", ...]}. Throws IoError when it
  /// cannot be read and std::invalid_argument when it says something else or a character twice.
  static Vocabulary load(const std::string& path);

  /// Throws std::invalid_argument for none and for a character given twice.
  explicit Vocabulary(std::vector<char32_t> characters);
  void save(const std::string& path) const;

  std::int64_t size() const override { return static_cast<std::int64_t>(characters_.size()); }
  /// A character that is not in the list is named with its line and column, both from 1.
  std::vector<std::uint32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const std::uint32_t> tokens) const override;

 private:
  std::vector<char32_t> characters_;
  std::unordered_map<char32_t, std::uint32_t> tokens_;
};

}  // namespace limbeck
