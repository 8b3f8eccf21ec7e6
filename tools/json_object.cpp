// SPDX-License-Identifier: Apache-2.0
// Strict JSON: parsing, --set assignments and typed access with paths in every message.
#include <limbeck/tools/json_object.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

#include <limbeck/core/error.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

/// What the value is, in the words of JSON.
std::string type_of(const json& value) {
  return value.is_structured() ? value.type_name()
                               : detail::concat(value.type_name(), " ", value.dump());
}

[[noreturn]] void wrong_type(const std::string& path, const json& value, const char* expected) {
  throw std::invalid_argument(
      detail::concat(path, ": is ", type_of(value), "; expected ", expected));
}

std::int64_t as_integer(const json& value, const std::string& path, std::int64_t least) {
  if (!value.is_number_integer()) wrong_type(path, value, "an integer");
  const std::int64_t i = value.get<std::int64_t>();
  LIMBECK_CHECK(i >= least, path, ": is ", i, "; expected at least ", least);
  return i;
}

/// The element of `node` that one part of a --set path names; objects gain a missing key.
json& child(json& node, const std::string& part, std::string_view assignment) {
  if (node.is_object()) return node[part];
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  LIMBECK_CHECK(node.is_array() && error == std::errc() && end == part.data() + part.size() &&
                    index < node.size(),
                "--set ", assignment, ": \"", part, "\" leads nowhere; expected ",
                node.is_array() ? detail::concat("an index below ", node.size())
                                : std::string("a path through objects and arrays"));
  return node[index];
}

}  // namespace

std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& choices) {
  return *std::min_element(choices.begin(), choices.end(), [&](auto a, auto b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
}

json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> open;  // keys seen in each object that is still open
  const auto check_duplicates = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key)
      LIMBECK_CHECK(open.back().insert(parsed.get<std::string>()).second, where, ": key ",
                    parsed.dump(), " is given twice");
    return true;
  };
  try {
    return json::parse(text, check_duplicates);
  } catch (const json::parse_error& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ...": drop the bracket.
    const std::string message = e.what();
    throw std::invalid_argument(where + ": " + message.substr(message.find("] ") + 2));
  }
}

json read_json_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in || !text) throw IoError(file + ": cannot be read");
  return parse_json(text.str(), file);
}

void set_json_value(json& root, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  LIMBECK_CHECK(equals != std::string_view::npos && equals > 0, "--set ", assignment,
                ": has no \"=\"; expected path.key=value");
  std::string_view path = assignment.substr(0, equals);
  json* node = &root;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    node = &child(*node, std::string(path.substr(0, dot)), assignment);
    path.remove_prefix(std::min(dot + 1, path.size()));
    if (node->is_null() && !path.empty()) *node = json::object();
  }
  const std::string value(assignment.substr(equals + 1));
  *node = json::accept(value) ? json::parse(value) : json(value);
}

JsonObject::JsonObject(const json& value, std::string path,
                       const std::vector<std::string_view>& keys)
    : value_(value), path_(std::move(path)) {
  if (!value.is_object()) wrong_type(path_.empty() ? "the file" : path_, value, "an object");
  for (const auto& item : value.items())
    LIMBECK_CHECK(std::find(keys.begin(), keys.end(), item.key()) != keys.end(),
                  this->path(item.key().c_str()), ": unknown key; did you mean \"",
                  nearest_word(item.key(), keys), "\"?");
}

std::string JsonObject::path(const char* key) const {
  return path_.empty() ? key : path_ + "." + key;
}

const json& JsonObject::at(const char* key) const {
  LIMBECK_CHECK(has(key), path(key), ": is missing; it has no default");
  return value_[key];
}

std::int64_t JsonObject::integer(const char* key, std::int64_t least,
                                 std::optional<std::int64_t> fallback) const {
  if (!has(key) && fallback) return *fallback;
  return as_integer(at(key), path(key), least);
}

double JsonObject::number(const char* key, std::optional<double> fallback) const {
  if (!has(key) && fallback) return *fallback;
  if (!at(key).is_number()) wrong_type(path(key), at(key), "a number");
  return at(key).get<double>();
}

bool JsonObject::flag(const char* key, std::optional<bool> fallback) const {
  if (!has(key) && fallback) return *fallback;
  if (!at(key).is_boolean()) wrong_type(path(key), at(key), "true or false");
  return at(key).get<bool>();
}

std::string JsonObject::text(const char* key, std::optional<std::string> fallback) const {
  if (!has(key) && fallback) return *fallback;
  if (!at(key).is_string()) wrong_type(path(key), at(key), "a string");
  return at(key).get<std::string>();
}

double JsonObject::at_least_zero(const char* key, std::optional<double> fallback) const {
  const double value = number(key, fallback);
  LIMBECK_CHECK(value >= 0, path(key), ": is ", value, "; expected >= 0");
  return value;
}

std::string JsonObject::choice(const char* key, const std::vector<std::string_view>& choices,
                               std::optional<std::string> fallback) const {
  const std::string given = text(key, std::move(fallback));
  LIMBECK_CHECK(std::find(choices.begin(), choices.end(), given) != choices.end(), path(key),
                ": unknown ", key, " \"", given, "\"; did you mean \"",
                nearest_word(given, choices), "\"?");
  return given;
}

std::vector<JsonObject::Element> JsonObject::elements(const char* key) const {
  std::vector<Element> list;
  if (!has(key)) return list;
  if (!at(key).is_array()) wrong_type(path(key), at(key), "an array");
  for (const json& value : at(key))
    list.push_back({value, detail::concat(path(key), ".", list.size())});
  return list;
}

std::vector<std::int64_t> JsonObject::integers(const char* key, std::int64_t least) const {
  std::vector<std::int64_t> list;
  for (const Element& element : elements(key))
    list.push_back(as_integer(element.value, element.path, least));
  return list;
}

}  // namespace limbeck
