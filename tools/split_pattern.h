// SPDX-License-Identifier: Apache-2.0
// The regular expressions that tokenizers cut text into words with.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace limbeck {

/// A regular expression over code points, matched by backtracking: alternatives in their order,
/// repetitions as long as they can be. Characters, . \s \S \d \p{L} \p{N} (and \P), \r \n \t,
/// classes [...] and [^...] of these and of ranges; ? * + {m} {m,} {m,n} of one character or class,
/// ? of a group; groups (...), (?:...), without regard to case (?i:...), and to look ahead (?=...)
/// and (?!...).
class SplitPattern {
 public:
  /// Throws std::invalid_argument naming the place of what is none of this.
  explicit SplitPattern(std::string_view pattern);

  /// Where the match that begins at `at` ends; `at` itself when there is none.
  std::size_t match_end(const std::vector<char32_t>& text, std::size_t at) const;
  /// Where the piece that begins at `at` < text.size() ends: with a match of at least one
  /// character, or before the next one.
  std::size_t piece_end(const std::vector<char32_t>& text, std::size_t at) const;

 private:
  friend class SplitPatternParser;
  enum class Class { range, letter, number, digit, space };
  struct Item {
    Class kind = Class::range;
    bool negative = false;
    char32_t first = 0, last = 0;  ///< range
  };
  struct Node;
  using Sequence = std::vector<Node>;
  enum class Kind { set, group, look };
  struct Node {
    Kind kind = Kind::set;
    std::vector<Item> items = {};        ///< set: any of them
    bool negative = false;               ///< set: none of them; look: there is no match
    bool folds = false;                  ///< set: without regard to case
    std::vector<Sequence> options = {};  ///< group, look
    std::size_t least = 1, most = 1;
  };
  /// What is left to match: `sequence` from `next` on, then `after`.
  struct Rest {
    const Sequence* sequence;
    std::size_t next;
    const Rest* after;
  };
  static bool contains(const Node& set, char32_t c);
  std::size_t match(const std::vector<char32_t>& text, std::size_t at, const Rest& rest) const;
  std::size_t match_any(const std::vector<char32_t>& text, std::size_t at, const Node& node,
                        const Rest* after) const;

  Node root_;  ///< a group
};

}  // namespace limbeck
