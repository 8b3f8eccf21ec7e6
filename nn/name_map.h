// SPDX-License-Identifier: Apache-2.0
// Other people's names for weights, turned into a model's own.
#pragma once

#include <span>
#include <string>

#include <limbeck/nn/safetensors.h>

namespace limbeck {

/// What becomes of the tensors whose whole name matches.
struct NameRule {
  std::string match;       ///< regular expression (ECMAScript)
  std::string to = {};     ///< the new name, $1, $2.. from the match; empty: the tensor is dropped
  bool transpose = false;  ///< (I,O) to (O,I): GPT-2's Conv1D
  int part = -1;  ///< >= 0: this tensor is that part, counted from 0, of the rows of tensor `to`
};

/// The file under new names: to each tensor the first rule that matches it is applied; one that
/// none matches keeps its name. Parts are joined along axis 0. Throws std::invalid_argument in one
/// line: a malformed expression, two tensors of one new name, a missing part, parts that do not
/// fit, a transposition of what is no matrix.
SafetensorsFile rename_weights(const SafetensorsFile& file, std::span<const NameRule> rules);

}  // namespace limbeck
