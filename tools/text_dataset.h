// SPDX-License-Identifier: Apache-2.0
// Text for language models, from a file or a folder, as tokens to train on and others to test on.
#pragma once

#include <memory>

#include <limbeck/distill/token_source.h>
#include <limbeck/tools/tokenizer.h>

namespace limbeck {

struct TextOptions {
  std::string format = "text";  ///< text or tokens
  std::int64_t context = 0;     ///< tokens of a window
  /// text: "characters", a vocabulary of all that occur, or a file of load_tokenizer's
  std::string tokenizer = "characters";
  std::int64_t vocabulary = 0;  ///< tokens: how many there are
  int token_bytes = 2;          ///< tokens: 2 or 4
  double validation = 0.1;      ///< share of a single file, its end, to test on
};

struct TextDataset {
  TokenRow tokens;
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;
  double characters_per_token = 0;  ///< 0: unknown
  std::string name;
  std::string digest;                                    ///< of the tokens
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;  ///< null for token files

  std::unique_ptr<TokenSource> source(Device device) const;
};

struct TextTrainTest {
  TextDataset train;
  TextDataset test;
};

/// `source` by format is
///   text    a file of UTF-8, or a folder with input.txt
///   tokens  a token file (tools/token_file.h), or a folder with train.bin and val.bin
/// A single file's end is what is tested on. Throws IoError or std::invalid_argument in one line
/// naming the file: unreadable, no UTF-8, a character without a token (with line and column of its
/// part), too short.
TextTrainTest load_text(const std::string& source, const TextOptions& options);

/// The tokenizer of a JSON file: a vocabulary (tools/vocabulary.h), or a tokenizer.json
/// with a model (tools/bpe_tokenizer.h).
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace limbeck
