// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/utf8.h>

#include <cstdio>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

/// How many bytes a character with this first byte has; 0 when none begins so.
std::size_t length_from(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;  // c0 and c1 begin longer forms of ASCII
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

/// Whether a character of `length` bytes is one, and needs them all.
bool is_valid(char32_t c, std::size_t length) {
  if (length == 3) return c >= 0x800 && (c < 0xd800 || c > 0xdfff);
  if (length == 4) return c >= 0x10000 && c <= 0x10ffff;
  return true;
}

}  // namespace

char32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t first = at, length = length_from(byte(first));
  char32_t c = length == 1 ? byte(first) : byte(first) & (0x7fu >> length);
  bool good = length > 0 && first + length <= text.size();
  for (std::size_t i = first + 1; good && i < first + length; ++i) {
    good = (byte(i) & 0xc0u) == 0x80u;
    c = c << 6 | (byte(i) & 0x3fu);
  }
  LIMBECK_CHECK(good && is_valid(c, length), "byte ", first, " (", int{byte(first)},
                ") begins no UTF-8 character");
  at = first + length;
  return c;
}

std::vector<char32_t> to_characters(std::string_view text) {
  std::vector<char32_t> list;
  for (std::size_t at = 0; at < text.size();) list.push_back(next_character(text, at));
  return list;
}

void append_utf8(std::string& text, char32_t c) {
  const auto put = [&](char32_t bits) { text += static_cast<char>(bits); };
  const auto more = [&](int shift) { put(0x80u | (c >> shift & 0x3fu)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0u | c >> 6);
    more(0);
  } else if (c < 0x10000) {
    put(0xe0u | c >> 12);
    more(6);
    more(0);
  } else {
    put(0xf0u | c >> 18);
    more(12);
    more(6);
    more(0);
  }
}

std::string show_character(char32_t character) {
  char number[16];
  std::snprintf(number, sizeof number, "U+%04X", static_cast<unsigned>(character));
  if (character < 0x20 || (character >= 0x7f && character < 0xa0)) return number;
  std::string text = "'";
  append_utf8(text, character);
  return text + "' (" + number + ")";
}

}  // namespace limbeck
