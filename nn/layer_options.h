// SPDX-License-Identifier: Apache-2.0
// What a layer is told besides its type: a small bag of named values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace limbeck {

using LayerOption = std::variant<bool, std::int64_t, double, std::string>;

/// Named values of one layer. The accessors give `fallback` for an absent one and throw
/// std::invalid_argument for one of another type; an integer is a number too.
class LayerOptions {
 public:
  using Map = std::map<std::string, LayerOption>;
  LayerOptions() = default;
  LayerOptions(std::initializer_list<Map::value_type> values) : values_(values) {}

  bool has(const std::string& key) const { return values_.contains(key); }
  void set(const std::string& key, LayerOption value) { values_[key] = std::move(value); }
  const Map& values() const { return values_; }

  bool flag(const std::string& key, bool fallback) const;
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  double number(const std::string& key, double fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;

 private:
  Map values_;
};

}  // namespace limbeck
