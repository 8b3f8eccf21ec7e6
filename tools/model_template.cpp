// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/model_template.h>

#include <cctype>
#include <charconv>
#include <set>

#include <limbeck/core/error.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// Recursive descent: sum = product {+- product}, product = factor {*/% factor},
/// factor = -factor, (sum), a number or a name.
class Parser {
 public:
  Parser(std::string_view text, const Variables& variables) : text_(text), variables_(variables) {}

  std::int64_t whole() {
    const std::int64_t value = sum();
    LIMBECK_CHECK(peek() == '\0', complaint(), "expected an operator at \"", rest(), "\"");
    return value;
  }

 private:
  std::int64_t sum() {
    std::int64_t value = product();
    while (peek() == '+' || peek() == '-') {
      const char op = take();
      value = combine(op, value, product());
    }
    return value;
  }

  std::int64_t product() {
    std::int64_t value = factor();
    while (peek() == '*' || peek() == '/' || peek() == '%') {
      const char op = take();
      value = combine(op, value, factor());
    }
    return value;
  }

  std::int64_t factor() {
    const char c = peek();
    if (c == '-') {
      take();
      return combine('-', 0, factor());
    }
    if (c == '(') {
      LIMBECK_CHECK(++depth_ <= 100, complaint(), "too many parentheses");
      take();
      const std::int64_t value = sum();
      LIMBECK_CHECK(peek() == ')', complaint(), "expected \")\" at \"", rest(), "\"");
      take();
      --depth_;
      return value;
    }
    return std::isdigit(static_cast<unsigned char>(c)) ? number() : variable();
  }

  std::int64_t number() {
    std::int64_t value = 0;
    const char* end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(text_.data() + at_, end, value);
    LIMBECK_CHECK(error == std::errc(), complaint(), "a number is too large at \"", rest(), "\"");
    at_ = static_cast<std::size_t>(stop - text_.data());
    return value;
  }

  std::int64_t variable() {
    std::size_t end = at_;
    while (end < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '_'))
      ++end;
    const std::string_view name = text_.substr(at_, end - at_);
    LIMBECK_CHECK(!name.empty(), complaint(), "expected a number or a variable at \"", rest(),
                  "\"");
    const auto found = variables_.find(name);
    LIMBECK_CHECK(found != variables_.end(), complaint(), "there is no variable \"", name, "\"");
    at_ = end;
    return found->second;
  }

  std::int64_t combine(char op, std::int64_t a, std::int64_t b) const {
    std::int64_t value = 0;
    bool overflow = false;
    if (op == '+') overflow = __builtin_add_overflow(a, b, &value);
    if (op == '-') overflow = __builtin_sub_overflow(a, b, &value);
    if (op == '*') overflow = __builtin_mul_overflow(a, b, &value);
    LIMBECK_CHECK(!overflow, complaint(), "the value is too large");
    if (op == '/' || op == '%') {
      LIMBECK_CHECK(b > 0 && (op == '%' || a % b == 0), complaint(), a, " ", op, " ", b,
                    op == '%' ? "; expected a divisor > 0" : " leaves a rest");
      value = op == '/' ? a / b : a % b;
    }
    return value;
  }

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  char take() { return text_[at_++]; }
  std::string rest() const { return std::string(text_.substr(at_)); }
  std::string complaint() const { return "${" + std::string(text_) + "}: "; }

  std::string_view text_;
  const Variables& variables_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

json substitute_text(const std::string& text, const Variables& variables) {
  std::string result;
  std::size_t at = 0;
  for (std::size_t open; (open = text.find("${", at)) != std::string::npos;) {
    const std::size_t close = text.find('}', open);
    LIMBECK_CHECK(close != std::string::npos, "\"", text, "\": expected \"}\" after \"${\"");
    const std::int64_t value =
        evaluate(std::string_view(text).substr(open + 2, close - open - 2), variables);
    if (open == 0 && close + 1 == text.size()) return value;
    result += text.substr(at, open - at) + std::to_string(value);
    at = close + 1;
  }
  return result + text.substr(at);
}

/// Walks through groups and layers and keeps what names mean.
class Expander {
 public:
  std::vector<ExpandedLayer> layers;

  struct Scope {
    std::string prefix;   ///< "layer1.0.", or empty
    std::string input;    ///< what "input" means in it
    std::int64_t* count;  ///< children of the named group so far
    const Variables* variables;
  };

  void expand(const json& list, const std::string& path, const Scope& scope) {
    LIMBECK_CHECK(list.is_array(), path, ": is ", list.type_name(), "; expected an array");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string place = detail::concat(path, ".", i);
      if (is_group(list[i]))
        group(list[i], place, scope);
      else
        layer(list[i], place, scope);
    }
  }

 private:
  /// A recurrent layer has "layers" too: their number.
  static bool is_group(const json& value) {
    return value.is_object() && value.contains("layers") && !value.contains("type");
  }

  static json at_path(const json& value, const std::string& path, const Variables& variables) {
    try {
      return substitute(value, variables);
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(path + ": " + e.what());
    }
  }

  void group(const json& value, const std::string& path, const Scope& outer) {
    const JsonObject keys(value, path, {"name", "repeat", "index", "recompute", "layers"});
    const json head = at_path({{"repeat", value.value("repeat", json(1))}}, path, *outer.variables);
    const std::int64_t repeat = JsonObject(head, path, {"repeat"}).integer("repeat", 0);
    const std::string index = keys.text("index", "i");
    const bool recompute = keys.flag("recompute", false);
    LIMBECK_CHECK(!recompute || recompute_ == 0, keys.path("recompute"),
                  ": a group around this one is computed again already; expected one of them");
    Variables variables = *outer.variables;
    for (std::int64_t i = 0; i < repeat; ++i) {
      if (keys.has("repeat")) variables[index] = i;
      Scope scope = outer;
      scope.variables = &variables;
      scope.input = names_.empty() ? "input" : names_.back();
      std::int64_t children = 0;
      if (keys.has("name")) {
        scope.prefix += text(value["name"], keys.path("name"), variables) + ".";
        scope.count = &children;
        ++*outer.count;
      }
      if (recompute) recompute_ = ++recomputed_;
      expand(value["layers"], keys.path("layers"), scope);
      if (recompute) recompute_ = 0;
      LIMBECK_CHECK(layers.size() <= 100000, path, ": more than 100000 layers");
    }
  }

  static std::string text(const json& value, const std::string& path, const Variables& variables) {
    const json result = at_path(value, path, variables);
    LIMBECK_CHECK(result.is_string() || result.is_number_integer(), path, ": is ",
                  result.type_name(), "; expected a string");
    return result.is_string() ? result.get<std::string>() : result.dump();
  }

  void layer(const json& value, const std::string& path, const Scope& scope) {
    const Variables& variables = *scope.variables;
    ExpandedLayer made = {at_path(value, path, variables), path, recompute_};
    if (value.is_object()) {
      std::string name;
      if (value.contains("name")) name = text(value["name"], path + ".name", variables);
      if (name.empty()) name = std::to_string(*scope.count);
      name = scope.prefix + name;
      const bool plain = name == std::to_string(layers.size()) && !value.contains("name");
      if (!plain) made.value["name"] = name;
      if (value.contains("from")) made.value["from"] = from(made.value["from"], path, scope);
      names_.push_back(name);
      known_.insert(name);
    }
    ++*scope.count;
    layers.push_back(std::move(made));
  }

  json from(const json& value, const std::string& path, const Scope& scope) const {
    if (!value.is_array()) return json::array({resolve(value, path, scope)});
    json list = json::array();
    for (const json& name : value) list.push_back(resolve(name, path, scope));
    return list;
  }

  std::string resolve(const json& value, const std::string& path, const Scope& scope) const {
    LIMBECK_CHECK(value.is_string() || value.is_number_integer(), path,
                  ".from: expected a layer's name or an array of names");
    const std::string name = value.is_string() ? value.get<std::string>() : value.dump();
    if (name == "input") return scope.input;
    for (std::string prefix = scope.prefix;;) {
      if (known_.contains(prefix + name)) return prefix + name;
      if (prefix.empty()) return name;
      const std::size_t dot = prefix.rfind('.', prefix.size() - 2);
      prefix = dot == std::string::npos ? "" : prefix.substr(0, dot + 1);
    }
  }

  std::vector<std::string> names_;
  std::set<std::string> known_;
  int recompute_ = 0, recomputed_ = 0;  ///< the current group that is, and how many there were
};

}  // namespace

std::int64_t evaluate(std::string_view expression, const Variables& variables) {
  return Parser(expression, variables).whole();
}

json substitute(const json& value, const Variables& variables) {
  if (value.is_string()) return substitute_text(value.get<std::string>(), variables);
  json result = value;
  if (value.is_structured())
    for (auto& item : result) item = substitute(item, variables);
  return result;
}

std::vector<ExpandedLayer> expand_layers(const json& layers, const std::string& path,
                                         const Variables& variables) {
  Expander expander;
  std::int64_t count = 0;
  expander.expand(layers, path, {"", "input", &count, &variables});
  return std::move(expander.layers);
}

}  // namespace limbeck
