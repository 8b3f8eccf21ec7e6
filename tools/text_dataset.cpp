// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/text_dataset.h>

#include <filesystem>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>
#include <limbeck/tools/bpe_tokenizer.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/token_file.h>
#include <limbeck/tools/utf8.h>
#include <limbeck/tools/vocabulary.h>

namespace limbeck {
namespace {

namespace fs = std::filesystem;

TextDataset make_part(const std::string& name, TokenRow tokens, std::int64_t vocabulary,
                      const TextOptions& options) {
  if (tokens.count < 2)
    throw IoError(detail::concat(name, ": ", tokens.count, " tokens; expected at least 2"));
  Digest digest;
  digest.add(
      std::string_view(tokens.data.get(), static_cast<std::size_t>(tokens.count * tokens.bytes)));
  return {std::move(tokens), vocabulary, options.context, 0, name, digest.hex()};
}

/// Where the part to test on begins in something of that size.
std::int64_t test_begin(std::int64_t size, const TextOptions& options) {
  return size - static_cast<std::int64_t>(static_cast<double>(size) * options.validation);
}

TextTrainTest load_token_files(const std::string& source, const TextOptions& options) {
  LIMBECK_CHECK(options.vocabulary >= 1, "load_text: vocabulary is ", options.vocabulary,
                "; expected at least 1 for token files");
  const auto part = [&](const std::string& name, TokenRow row) {
    return make_part(name, std::move(row), options.vocabulary, options);
  };
  const auto map = [&](const char* name) {
    const std::string path = (fs::path(source) / name).string();
    return part(path, map_tokens(path, options.token_bytes));
  };
  if (fs::is_directory(source)) return {map("train.bin"), map("val.bin")};
  const TokenRow row = map_tokens(source, options.token_bytes);
  const std::int64_t split = test_begin(row.count, options);
  return {part(source + "/train", row.part(0, split)),
          part(source + "/test", row.part(split, row.count))};
}

TextTrainTest load_text_file(const std::string& path, const TextOptions& options) {
  const MappedFile file = map_file(path);
  const std::string_view text(file.data.get(), file.size);
  if (text.empty()) throw IoError(path + ": is empty; expected text");
  auto split =
      static_cast<std::size_t>(test_begin(static_cast<std::int64_t>(text.size()), options));
  while (split < text.size() && (static_cast<unsigned char>(text[split]) & 0xc0u) == 0x80u) ++split;
  std::shared_ptr<const Tokenizer> tokenizer;
  if (options.tokenizer != "characters") tokenizer = load_tokenizer(options.tokenizer);
  const auto part = [&](const char* name, std::string_view words) {
    try {
      if (!tokenizer) tokenizer = std::make_shared<Vocabulary>(Vocabulary::of(text));
      const std::vector<std::uint32_t> tokens = tokenizer->encode(words);
      TextDataset data = make_part(path + name, token_row(tokens), tokenizer->size(), options);
      data.characters_per_token =
          static_cast<double>(to_characters(words).size()) / static_cast<double>(tokens.size());
      data.tokenizer = tokenizer;
      return data;
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(path + name + ": " + e.what());
    }
  };
  TextDataset train = part("/train", text.substr(0, split));
  return {std::move(train), part("/test", text.substr(split))};
}

}  // namespace

std::unique_ptr<TokenSource> TextDataset::source(Device device) const {
  return std::make_unique<TokenSource>(tokens, context, vocabulary, device);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const nlohmann::json file = read_json_file(path);
  if (file.is_object() && file.contains("model"))
    return std::make_unique<BpeTokenizer>(BpeTokenizer::load(path));
  return std::make_unique<Vocabulary>(Vocabulary::load(path));
}

TextTrainTest load_text(const std::string& source, const TextOptions& options) {
  LIMBECK_CHECK(options.format == "text" || options.format == "tokens", "load_text: format is \"",
                options.format, "\"; expected text or tokens");
  LIMBECK_CHECK(options.context >= 1, "load_text: context is ", options.context,
                "; expected at least 1");
  LIMBECK_CHECK(options.validation > 0 && options.validation < 1, "load_text: validation is ",
                options.validation, "; expected between 0 and 1");
  if (options.format == "tokens") return load_token_files(source, options);
  const bool folder = fs::is_directory(source);
  return load_text_file(folder ? (fs::path(source) / "input.txt").string() : source, options);
}

}  // namespace limbeck
