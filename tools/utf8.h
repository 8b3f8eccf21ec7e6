// SPDX-License-Identifier: Apache-2.0
// UTF-8, one character at a time. RFC 3629.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace limbeck {

/// The code point that begins at byte `at`, which moves behind it; at < text.size(). Throws
/// std::invalid_argument with the byte's place for what is not UTF-8: stray or missing continuation
/// bytes, forms longer than needed, surrogates, numbers above U+10FFFF.
char32_t next_character(std::string_view text, std::size_t& at);
std::vector<char32_t> to_characters(std::string_view text);

/// Appends a code point.
void append_utf8(std::string& text, char32_t character);

/// "'é' (U+00E9)", control characters as the number alone: for messages.
std::string show_character(char32_t character);

}  // namespace limbeck
