// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace limbeck {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Tokens are 0 to size() - 1.
  virtual std::int64_t size() const = 0;
  /// Throws std::invalid_argument with the place for what is not UTF-8 or has no token.
  virtual std::vector<std::uint32_t> encode(std::string_view text) const = 0;
  /// Throws std::invalid_argument for a token that does not exist.
  virtual std::string decode(std::span<const std::uint32_t> tokens) const = 0;
};

}  // namespace limbeck
