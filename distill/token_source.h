// SPDX-License-Identifier: Apache-2.0
// A long row of tokens as a source of batches: windows of it, and at every step the token after it.
#pragma once

#include <memory>

#include <limbeck/distill/batch_source.h>

namespace limbeck {

/// Tokens somewhere in memory, a file's map for example, read when asked for.
struct TokenRow {
  std::shared_ptr<const char> data;  ///< little-endian, `bytes` each, without gaps
  std::int64_t count = 0;
  int bytes = 4;  ///< 2 (u16) or 4 (u32)

  std::uint32_t operator[](std::int64_t i) const;
  /// Tokens [first, last); shares the memory.
  TokenRow part(std::int64_t first, std::int64_t last) const;
};

/// A row that owns a copy of `tokens`.
TokenRow token_row(const std::vector<std::uint32_t>& tokens);

/// Window n of T tokens reads tokens [nT, nT+T) and is to say [nT+1, nT+T+1), so that every token
/// but the first is a target once. The last window is padded: its missing steps read token 0 and
/// are labelled kIgnoreIndex.
class TokenSource : public BatchSource {
 public:
  /// `context` is T >= 1, tokens lie in [0, vocabulary), there are at least two. Throws
  /// std::invalid_argument. A token outside the vocabulary is refused by the fetch that meets it.
  TokenSource(TokenRow tokens, std::int64_t context, std::int64_t vocabulary,
              Device device = Device::cpu());
  /// ceil((tokens - 1) / T) windows.
  std::int64_t size() const override { return (tokens_.count + context_ - 2) / context_; }
  std::int64_t classes() const override { return vocabulary_; }
  Device device() const override { return device_; }
  bool augments() const override { return false; }
  void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) override;
  /// x and labels (B,T) i32.
  Batch fetch(std::int64_t first, std::int64_t last, std::uint32_t step) override;

 private:
  std::int32_t token(std::int64_t i) const;

  TokenRow tokens_;
  std::int64_t context_, vocabulary_;
  Device device_;
  std::vector<std::int32_t> order_;
};

}  // namespace limbeck
