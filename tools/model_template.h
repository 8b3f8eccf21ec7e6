// SPDX-License-Identifier: Apache-2.0
// Writes a model's repeated parts out: groups, repetitions and ${...} become a flat list of layers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace limbeck {

/// Integers by name.
using Variables = std::map<std::string, std::int64_t, std::less<>>;

/// The value of an integer expression: numbers, names, + - * / %, unary - and parentheses. A
/// division leaves no rest. Throws std::invalid_argument in one line.
std::int64_t evaluate(std::string_view expression, const Variables& variables);

/// A string that is one "${expression}" becomes that integer; within other text it is written out.
nlohmann::json substitute(const nlohmann::json& value, const Variables& variables);

/// One layer with the place it came from, for messages.
struct ExpandedLayer {
  nlohmann::json value;
  std::string path;
  int recompute = 0;  ///< the how-manieth group it is in that is computed again, from 1; 0: in none
};

/// Expands an array of layers and groups. A group is {"layers": [...]} with, each optional,
///   "name": a prefix, so that "conv1" in "layer1" becomes "layer1.conv1" (none: no prefix),
///   "repeat": how often it stands there, "index" (default "i"): the variable that counts from 0,
///   "recompute": true: each time, its layers are computed again in backward; no group in it may.
/// Unnamed layers are numbered within their named group. Names in "from" are looked up in the
/// group, then in those around it; "input" is what flows into the innermost group. Every layer's
/// "name" and "from" are then those of the whole model, an unnamed layer's name being its index.
/// Throws std::invalid_argument "<path>: <what is wrong>".
std::vector<ExpandedLayer> expand_layers(const nlohmann::json& layers, const std::string& path,
                                         const Variables& variables);

}  // namespace limbeck
