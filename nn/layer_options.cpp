// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/layer_options.h>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

/// The value under `key` if there is one; it must be a T.
template <class T>
const T* find(const LayerOptions::Map& values, const std::string& key, const char* expected) {
  const auto found = values.find(key);
  if (found == values.end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  LIMBECK_CHECK(value, "option '", key, "' has another type; expected ", expected);
  return value;
}

}  // namespace

bool LayerOptions::flag(const std::string& key, bool fallback) const {
  const bool* value = find<bool>(values_, key, "true or false");
  return value ? *value : fallback;
}

std::int64_t LayerOptions::integer(const std::string& key, std::int64_t fallback) const {
  const std::int64_t* value = find<std::int64_t>(values_, key, "an integer");
  return value ? *value : fallback;
}

double LayerOptions::number(const std::string& key, double fallback) const {
  if (has(key) && std::holds_alternative<std::int64_t>(values_.at(key)))
    return static_cast<double>(integer(key, 0));
  const double* value = find<double>(values_, key, "a number");
  return value ? *value : fallback;
}

std::string LayerOptions::text(const std::string& key, const std::string& fallback) const {
  const std::string* value = find<std::string>(values_, key, "text");
  return value ? *value : fallback;
}

}  // namespace limbeck
