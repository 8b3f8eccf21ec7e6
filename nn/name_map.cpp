// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/name_map.h>

#include <cstring>
#include <map>
#include <regex>
#include <vector>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

struct Pattern {
  std::regex regex;
  const NameRule* rule;
};

std::vector<Pattern> compile(std::span<const NameRule> rules) {
  std::vector<Pattern> patterns;
  for (const NameRule& rule : rules) try {
      patterns.push_back({std::regex(rule.match), &rule});
    } catch (const std::regex_error& e) {
      throw std::invalid_argument(
          detail::concat("name map: '", rule.match, "' is no regular expression: ", e.what()));
    }
  return patterns;
}

/// A tensor on its way: `name` as it came, for messages.
struct Piece {
  std::string name;
  Tensor tensor;
  int part;
};

Tensor transposed(const std::string& name, const Tensor& t) {
  LIMBECK_CHECK(t.rank() == 2, "name map: '", name, "' ", t.shape(),
                " is to be transposed; expected a matrix");
  Tensor out = Tensor::empty({t.dim(1), t.dim(0)}, t.dtype());
  const std::size_t size = dtype_size(t.dtype());
  const auto* from = static_cast<const char*>(t.raw());
  auto* to = static_cast<char*>(out.raw());
  for (std::int64_t i = 0; i < t.dim(0); ++i)
    for (std::int64_t j = 0; j < t.dim(1); ++j)
      std::memcpy(to + static_cast<std::size_t>(j * t.dim(0) + i) * size,
                  from + static_cast<std::size_t>(i * t.dim(1) + j) * size, size);
  return out;
}

/// Like a, with the rows of both.
Shape stacked_shape(const std::string& name, const Piece& a, const Piece& b) {
  const Shape &x = a.tensor.shape(), &y = b.tensor.shape();
  LIMBECK_CHECK(x.rank() >= 1 && y.rank() == x.rank() && a.tensor.dtype() == b.tensor.dtype(),
                "name map: parts of '", name, "' are '", a.name, "' ", x, " and '", b.name, "' ", y,
                "; expected equal dtypes and shapes but for axis 0");
  std::vector<std::int64_t> dims(x.begin(), x.end());
  dims[0] += y[0];
  for (int i = 1; i < x.rank(); ++i)
    LIMBECK_CHECK(x[i] == y[i], "name map: parts of '", name, "' are '", a.name, "' ", x, " and '",
                  b.name, "' ", y, "; expected equal shapes but for axis 0");
  return Shape(std::span<const std::int64_t>(dims));
}

/// The parts of one new name, in order, as one tensor.
Tensor join(const std::string& name, const std::vector<Piece>& parts) {
  Piece whole = parts.front();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Piece& next = parts[i];
    LIMBECK_CHECK(next.part == static_cast<int>(i), "name map: '", name, "' lacks part ", i,
                  "; it has part ", next.part, ", '", next.name, "'");
    if (i == 0) continue;
    Tensor sum = Tensor::empty(stacked_shape(name, whole, next), next.tensor.dtype());
    std::memcpy(sum.raw(), whole.tensor.raw(), whole.tensor.nbytes());
    std::memcpy(static_cast<char*>(sum.raw()) + whole.tensor.nbytes(), next.tensor.raw(),
                next.tensor.nbytes());
    whole.tensor = sum;
  }
  return whole.tensor;
}

/// Puts a piece among those of its new name, by part.
void insert(std::map<std::string, std::vector<Piece>>& by_name, const std::string& name,
            Piece piece) {
  std::vector<Piece>& pieces = by_name[name];
  auto at = pieces.begin();
  while (at != pieces.end() && at->part < piece.part) ++at;
  const bool taken = !pieces.empty() && (piece.part < 0 || pieces.front().part < 0 ||
                                         (at != pieces.end() && at->part == piece.part));
  LIMBECK_CHECK(!taken, "name map: '", pieces.front().name, "' and '", piece.name,
                "' both become '", name, "'; expected different names");
  pieces.insert(at, std::move(piece));
}

}  // namespace

SafetensorsFile rename_weights(const SafetensorsFile& file, std::span<const NameRule> rules) {
  const std::vector<Pattern> patterns = compile(rules);
  std::map<std::string, std::vector<Piece>> by_name;
  for (const auto& [name, tensor] : file.tensors) {
    Piece piece = {name, tensor, -1};
    std::string to = name;
    for (const auto& [regex, rule] : patterns) {
      std::smatch match;
      if (!std::regex_match(name, match, regex)) continue;
      to = rule->to.empty() ? "" : match.format(rule->to);
      if (rule->transpose) piece.tensor = transposed(name, tensor);
      piece.part = rule->part;
      break;
    }
    if (!to.empty()) insert(by_name, to, std::move(piece));
  }
  SafetensorsFile renamed{{}, file.metadata};
  for (const auto& [name, pieces] : by_name)
    renamed.tensors.emplace_back(
        name, pieces.front().part < 0 ? pieces.front().tensor : join(name, pieces));
  return renamed;
}

}  // namespace limbeck
