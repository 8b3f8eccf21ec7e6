// SPDX-License-Identifier: Apache-2.0
// What kind of character a code point is.
#pragma once

namespace limbeck {

/// General category L: Lu, Ll, Lt, Lm, Lo. Unicode Character Database.
bool is_unicode_letter(char32_t c);
/// General category N: Nd, Nl, No.
bool is_unicode_number(char32_t c);
/// The property White_Space.
bool is_unicode_space(char32_t c);

}  // namespace limbeck
