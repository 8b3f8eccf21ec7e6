// SPDX-License-Identifier: Apache-2.0
// Byte-level byte-pair encoding, as GPT-2's, from a Hugging Face tokenizer.json.
#pragma once

#include <array>
#include <optional>
#include <unordered_map>

#include <nlohmann/json_fwd.hpp>

#include <limbeck/tools/split_pattern.h>
#include <limbeck/tools/tokenizer.h>

namespace limbeck {

/// The end of the piece that begins at `at` < text.size() in GPT-2's pattern
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
/// over code points, with the exact classes of tools/unicode_classes.h.
std::size_t bpe_piece_end(const std::vector<char32_t>& text, std::size_t at);

/// Added tokens are cut out of the text first (those that skip the normaliser before the others,
/// the longest of those that begin at one place); the rest is split by bpe_piece_end or the file's
/// own pattern (tools/split_pattern.h), as Llama 3's and Qwen2's have one, and within a piece the
/// bytes' tokens are merged, the pair of the lowest rank and furthest left first. What a template
/// would put around a whole text is not added.
/// Radford et al. 2019; Sennrich, Haddow and Birch 2016.
class BpeTokenizer : public Tokenizer {
 public:
  /// Reads a tokenizer.json whose model is BPE, with a ByteLevel pre_tokenizer, or a sequence of a
  /// Split into isolated matches and one, and no normaliser.
  /// Throws IoError when it cannot be read and std::invalid_argument in one line naming the part
  /// that is malformed or not supported.
  static BpeTokenizer load(const std::string& path);
  /// The parsed file.
  explicit BpeTokenizer(const nlohmann::json& file);

  std::int64_t size() const override { return static_cast<std::int64_t>(bytes_of_.size()); }
  /// A byte without a token is refused, whatever unk_token says.
  std::vector<std::uint32_t> encode(std::string_view text) const override;
  /// The bytes of the tokens, special ones included: UTF-8 unless a character is cut apart.
  std::string decode(std::span<const std::uint32_t> tokens) const override;

 private:
  using Tokens = std::vector<std::uint32_t>;
  struct Merge {
    std::uint32_t rank, token;
  };
  struct AddedToken {
    std::string text;
    std::uint32_t token;
  };
  using Pieces = std::unordered_map<std::string_view, Tokens>;

  void read_split(const nlohmann::json& split);
  void read_model(const nlohmann::json& model);
  void read_merges(const nlohmann::json& merges);
  void read_added(const nlohmann::json& file);
  void number_tokens();
  std::uint32_t token_of(const std::string& name, const std::string& where) const;
  Tokens merge_piece(std::string_view piece) const;
  /// Appends the tokens of text without the added tokens of lists `list` and on.
  void encode_part(std::string_view text, std::size_t list, Pieces& pieces, Tokens& tokens) const;
  void encode_words(std::string_view text, Pieces& pieces, Tokens& tokens) const;

  std::unordered_map<std::string, std::uint32_t> tokens_;  ///< by their names in the file
  std::unordered_map<std::uint64_t, Merge> merges_;        ///< by left << 32 | right
  std::array<std::vector<AddedToken>, 2> added_;           ///< longest first
  std::array<std::int64_t, 256> byte_tokens_{};            ///< -1: none
  std::unordered_map<std::string, std::uint32_t> whole_;   ///< ignore_merges: by their bytes
  std::vector<std::string> bytes_of_;
  bool ignore_merges_ = false;
  std::optional<SplitPattern> pattern_;  ///< none: GPT-2's
};

}  // namespace limbeck
