// SPDX-License-Identifier: Apache-2.0
// Tensors under names: the state of what has to be resumed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Copies `given` into the tensors of the same names; any device. Throws std::invalid_argument
/// "<what>; ..." naming every tensor that is missing, unexpected or of another dtype or shape, and
/// then changes nothing.
void copy_named(NamedTensors& own, const NamedTensors& given, const std::string& what);

}  // namespace limbeck
