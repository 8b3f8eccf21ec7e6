// SPDX-License-Identifier: Apache-2.0
// Activation checkpointing: memory traded for a second forward pass.
#pragma once

#include <functional>

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// y = body(x), of which only x is kept: backward runs body again, recording, and goes through
/// that. The bits are those of body(x) itself as long as body does the same twice. `parameters`:
/// leaves that body reads besides x; their gradients are added as usual.
/// Chen et al., Training Deep Nets with Sublinear Memory Cost (2016).
Variable recompute(const Variable& x, const std::vector<Variable>& parameters,
                   std::function<Variable(const Variable&)> body);

}  // namespace limbeck
