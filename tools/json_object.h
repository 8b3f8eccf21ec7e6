// SPDX-License-Identifier: Apache-2.0
// Reads JSON strictly: every key is known, present when required and of the right type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace limbeck {

/// Parses text that came from `where` (a file name, for messages). Throws std::invalid_argument in
/// one line: syntax with line and column, or a key given twice.
nlohmann::json parse_json(std::string_view text, const std::string& where);
/// Reads and parses a file; throws IoError when it cannot be read.
nlohmann::json read_json_file(const std::string& file);

/// Applies one `path.key=value`, e.g. "arms.1.distill.tau=4": numbers in the path index arrays,
/// value is JSON or else plain text. Throws std::invalid_argument when the path leads nowhere.
void set_json_value(nlohmann::json& root, std::string_view assignment);

/// One JSON object at a dotted path ("student.recipe"). Every accessor throws std::invalid_argument
/// "<path>.<key>: <what is wrong>"; a key without fallback is required. The object must outlive it.
class JsonObject {
 public:
  /// Rejects a value that is no object and any key not in `keys`, naming the nearest one that is.
  JsonObject(const nlohmann::json& value, std::string path,
             const std::vector<std::string_view>& keys);

  bool has(const char* key) const { return value_.contains(key); }
  std::string path(const char* key) const;
  const nlohmann::json& at(const char* key) const;

  std::int64_t integer(const char* key, std::int64_t least,
                       std::optional<std::int64_t> fallback = {}) const;
  double number(const char* key, std::optional<double> fallback = {}) const;
  double at_least_zero(const char* key, std::optional<double> fallback = {}) const;
  bool flag(const char* key, std::optional<bool> fallback = {}) const;
  std::string text(const char* key, std::optional<std::string> fallback = {}) const;
  /// A text that is one of `choices`; the message names the nearest.
  std::string choice(const char* key, const std::vector<std::string_view>& choices,
                     std::optional<std::string> fallback = {}) const;
  /// An array of integers >= least; empty when the key is absent.
  std::vector<std::int64_t> integers(const char* key, std::int64_t least) const;
  /// An array's elements, each with its path; empty when the key is absent.
  struct Element {
    const nlohmann::json& value;
    std::string path;
  };
  std::vector<Element> elements(const char* key) const;

 private:
  const nlohmann::json& value_;
  std::string path_;
};

/// The choice in `choices` that differs least from `word` (edit distance).
std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& choices);

}  // namespace limbeck
