// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/split_pattern.h>

#include <algorithm>
#include <limits>

#include <limbeck/core/error.h>
#include <limbeck/tools/unicode_classes.h>
#include <limbeck/tools/utf8.h>

namespace limbeck {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kMany = kNone - 1;

/// ASCII's lower case, and the two other characters whose lower case is ASCII's.
char32_t folded(char32_t c) {
  if (c == 0x17f) return U's';
  if (c == 0x212a) return U'k';
  return c >= U'A' && c <= U'Z' ? c + 32 : c;
}

}  // namespace

/// Recursive descent: options separated by "|", each a sequence of atoms with a repetition.
class SplitPatternParser {
 public:
  explicit SplitPatternParser(std::string_view pattern) : text_(to_characters(pattern)) {}

  SplitPattern::Node whole() {
    SplitPattern::Node root = options(SplitPattern::Kind::group);
    LIMBECK_CHECK(at_ == text_.size(), complaint(), "')' without '('");
    return root;
  }

 private:
  using Node = SplitPattern::Node;
  using Class = SplitPattern::Class;

  Node options(SplitPattern::Kind kind) {
    Node node;
    node.kind = kind;
    do node.options.push_back(sequence());
    while (accept(U'|'));
    return node;
  }

  std::vector<Node> sequence() {
    std::vector<Node> nodes;
    while (at_ < text_.size() && peek() != U'|' && peek() != U')') {
      nodes.push_back(atom());
      repeat(nodes.back());
    }
    return nodes;
  }

  Node atom() {
    const char32_t c = take();
    if (c == U'(') return group();
    Node set;
    set.folds = folds_;
    if (c == U'[') {
      read_class(set);
    } else if (c == U'.') {
      set.items = {{Class::range, false, U'\n', U'\n'}};
      set.negative = true;
    } else if (c == U'\\') {
      set.items = {escaped()};
    } else {
      const bool plain = std::u32string_view(U"?*+{}^$").find(c) == std::u32string_view::npos;
      LIMBECK_CHECK(plain, complaint(), show_character(c), " is not supported here");
      set.items = {{Class::range, false, c, c}};
    }
    return set;
  }

  Node group() {
    const bool outer = folds_;
    SplitPattern::Kind kind = SplitPattern::Kind::group;
    bool negative = false;
    if (accept(U'?')) {
      const char32_t sort = take();
      if (sort == U'!' || sort == U'=') {
        kind = SplitPattern::Kind::look;
        negative = sort == U'!';
      } else {
        folds_ = sort == U'i' || folds_;
        LIMBECK_CHECK(sort == U':' || (sort == U'i' && accept(U':')), complaint(),
                      "expected (?:, (?i:, (?= or (?!");
      }
    }
    Node node = options(kind);
    node.negative = negative;
    LIMBECK_CHECK(accept(U')'), complaint(), "'(' without ')'");
    folds_ = outer;
    return node;
  }

  void read_class(Node& set) {
    set.negative = accept(U'^');
    do {
      SplitPattern::Item item = class_item();
      if (peek() == U'-' && at_ + 1 < text_.size() && text_[at_ + 1] != U']') {
        take();
        const SplitPattern::Item end = class_item();
        LIMBECK_CHECK(
            item.kind == Class::range && end.kind == Class::range && item.first <= end.first,
            complaint(), "is no range of characters");
        item.last = end.first;
      }
      set.items.push_back(item);
    } while (!accept(U']'));
  }

  SplitPattern::Item class_item() {
    const char32_t c = take();
    LIMBECK_CHECK(c != U'[' && !(c == U'&' && peek() == U'&'), complaint(), show_character(c),
                  " is not supported in a class");
    return c == U'\\' ? escaped() : SplitPattern::Item{Class::range, false, c, c};
  }

  SplitPattern::Item escaped() {
    const char32_t c = take();
    const auto is = [](char32_t one) { return SplitPattern::Item{Class::range, false, one, one}; };
    if (c == U'r') return is(U'\r');
    if (c == U'n') return is(U'\n');
    if (c == U't') return is(U'\t');
    if (c == U's' || c == U'S') return {Class::space, c == U'S'};
    if (c == U'd' || c == U'D') return {Class::digit, c == U'D'};
    if (c == U'p' || c == U'P') {
      const bool braced = accept(U'{');
      const char32_t name = take();
      LIMBECK_CHECK((name == U'L' || name == U'N') && (!braced || accept(U'}')), complaint(),
                    "expected \\p{L} or \\p{N}");
      return {name == U'L' ? Class::letter : Class::number, c == U'P'};
    }
    const bool plain =
        c < 0x80 && !(c >= U'0' && c <= U'9') && !(folded(c) >= U'a' && folded(c) <= U'z');
    LIMBECK_CHECK(plain, complaint(), "\\", show_character(c), " is not supported");
    return is(c);
  }

  void repeat(Node& node) {
    if (accept(U'?'))
      node.least = 0;
    else if (accept(U'*'))
      node.least = 0, node.most = kMany;
    else if (accept(U'+'))
      node.most = kMany;
    else if (accept(U'{'))
      count(node);
    else
      return;
    LIMBECK_CHECK(peek() != U'?' && peek() != U'+' && peek() != U'*', complaint(),
                  "repetitions that are not as long as they can be are not supported");
    LIMBECK_CHECK(node.kind == SplitPattern::Kind::set ||
                      (node.kind == SplitPattern::Kind::group && node.most == 1),
                  complaint(), "a group can only be repeated by ?");
  }

  void count(Node& node) {
    node.least = node.most = number();
    if (accept(U',')) node.most = peek() == U'}' ? kMany : number();
    LIMBECK_CHECK(accept(U'}') && node.least <= node.most, complaint(),
                  "expected {m}, {m,} or {m,n} with m <= n");
  }

  std::size_t number() {
    std::size_t value = 0, digits = 0;
    for (; peek() >= U'0' && peek() <= U'9' && digits < 5; ++digits)
      value = 10 * value + (take() - U'0');
    LIMBECK_CHECK(digits > 0, complaint(), "expected a number");
    return value;
  }

  char32_t peek() const { return at_ < text_.size() ? text_[at_] : 0; }
  char32_t take() {
    LIMBECK_CHECK(at_ < text_.size(), complaint(), "ends too early");
    return text_[at_++];
  }
  bool accept(char32_t c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string complaint() const { return detail::concat("pattern, character ", at_, ": "); }

  std::vector<char32_t> text_;
  std::size_t at_ = 0;
  bool folds_ = false;
};

SplitPattern::SplitPattern(std::string_view pattern) : root_(SplitPatternParser(pattern).whole()) {}

bool SplitPattern::contains(const Node& set, char32_t c) {
  const auto matches = [](const Item& item, char32_t one) {
    switch (item.kind) {
      case Class::letter:
        return is_unicode_letter(one) != item.negative;
      case Class::number:
        return is_unicode_number(one) != item.negative;
      case Class::digit:
        return (one >= U'0' && one <= U'9') != item.negative;
      case Class::space:
        return is_unicode_space(one) != item.negative;
      case Class::range:
        break;
    }
    return item.first <= one && one <= item.last;
  };
  const bool found = std::any_of(set.items.begin(), set.items.end(), [&](const Item& item) {
    if (matches(item, c)) return true;
    if (!set.folds) return false;
    const char32_t low = folded(c);
    return matches(item, low) || (low >= U'a' && low <= U'z' && matches(item, low - 32));
  });
  return found != set.negative;
}

std::size_t SplitPattern::match_any(const std::vector<char32_t>& text, std::size_t at,
                                    const Node& node, const Rest* after) const {
  for (const Sequence& option : node.options)
    if (const std::size_t end = match(text, at, {&option, 0, after}); end != kNone) return end;
  return kNone;
}

/// The end of the first match of `rest` at `at`, or kNone.
std::size_t SplitPattern::match(const std::vector<char32_t>& text, std::size_t at,
                                const Rest& rest) const {
  if (rest.next == rest.sequence->size()) return rest.after ? match(text, at, *rest.after) : at;
  const Node& node = (*rest.sequence)[rest.next];
  const Rest after = {rest.sequence, rest.next + 1, rest.after};
  if (node.kind == Kind::look) {
    const bool seen = match_any(text, at, node, nullptr) != kNone;
    return seen != node.negative ? match(text, at, after) : kNone;
  }
  if (node.kind == Kind::group) {
    const std::size_t end = match_any(text, at, node, &after);
    return end == kNone && node.least == 0 ? match(text, at, after) : end;
  }
  std::size_t count = 0;
  while (count < node.most && at + count < text.size() && contains(node, text[at + count])) ++count;
  for (;; --count) {
    if (count < node.least) return kNone;
    if (const std::size_t end = match(text, at + count, after); end != kNone) return end;
    if (count == 0) return kNone;
  }
}

std::size_t SplitPattern::match_end(const std::vector<char32_t>& text, std::size_t at) const {
  const std::size_t end = match_any(text, at, root_, nullptr);
  return end == kNone ? at : end;
}

std::size_t SplitPattern::piece_end(const std::vector<char32_t>& text, std::size_t at) const {
  if (const std::size_t end = match_end(text, at); end > at) return end;
  for (++at; at < text.size() && match_end(text, at) == at;) ++at;
  return at;
}

}  // namespace limbeck
