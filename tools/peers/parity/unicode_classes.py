# SPDX-License-Identifier: Apache-2.0
"""Writes tools/unicode_classes.cpp: the ranges of letters and numbers in Python's unicodedata."""
import pathlib
import sys
import unicodedata


def ranges(initial):
    found = []
    for c in range(sys.maxunicode + 1):
        if unicodedata.category(chr(c))[0] != initial:
            continue
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return ", ".join(f"{{{a:#x}, {b:#x}}}" for a, b in found)


path = pathlib.Path(__file__).resolve().parents[2] / "unicode_classes.cpp"
path.write_text(f"""// SPDX-License-Identifier: Apache-2.0
// Written by tools/peers/parity/unicode_classes.py (Unicode {unicodedata.unidata_version}).
#include <limbeck/tools/unicode_classes.h>

#include <algorithm>
#include <iterator>

namespace limbeck {{
namespace {{

struct Range {{
  char32_t first, last;
}};

constexpr Range letters[] = {{{ranges("L")}}};

constexpr Range numbers[] = {{{ranges("N")}}};

template <std::size_t count>
bool contains(const Range (&ranges)[count], char32_t c) {{
  const Range* range = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                        [](const Range& r, char32_t x) {{ return r.last < x; }});
  return range != std::end(ranges) && range->first <= c;
}}

}}  // namespace

bool is_unicode_letter(char32_t c) {{ return contains(letters, c); }}

bool is_unicode_number(char32_t c) {{ return contains(numbers, c); }}

bool is_unicode_space(char32_t c) {{
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}}

}}  // namespace limbeck
""")
