// SPDX-License-Identifier: Apache-2.0
// A sum whose weights differ from row to row, as a differentiable op.
#pragma once

#include <vector>

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// y_n = sum_i gates_ni peers_i,n: gates (N,K), K peers (N,V), y (N,V). Saves all of them.
Variable gated_sum(const Variable& gates, const std::vector<Variable>& peers);

}  // namespace limbeck
