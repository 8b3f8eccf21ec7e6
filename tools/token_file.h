// SPDX-License-Identifier: Apache-2.0
// Token files: unsigned little-endian numbers one after another and nothing else, as nanoGPT and
// llm.c's tools prepare them.
#pragma once

#include <string>

#include <limbeck/distill/token_source.h>

namespace limbeck {

/// The tokens of a file, each of `bytes` bytes: 2 (u16) or 4 (u32). They stay in the file and are
/// read when touched. Throws IoError in one line naming the file: unreadable, empty, or not a whole
/// number of tokens.
TokenRow map_tokens(const std::string& path, int bytes);

/// Writes such a file, atomically. Throws std::invalid_argument for a token that does not fit and
/// IoError when the disk does not.
void write_tokens(const std::string& path, const std::vector<std::uint32_t>& tokens, int bytes);

}  // namespace limbeck
