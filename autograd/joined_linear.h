// SPDX-License-Identifier: Apache-2.0
// Linear layers of several models that read one input, as differentiable ops of one kernel call.
#pragma once

#include <span>
#include <vector>

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/joined_linear.h>

namespace limbeck {

struct LinearLayer {
  Variable w, bias;  ///< (O,I), and (O) or undefined
  Activation act = Activation::none;
  PackedWeight packed = {};
  bool frozen = false;  ///< its result is not recorded
};

/// The results of linear() (autograd/linear.h) for each of them, with its gradients, computed by
/// joined_linear_forward.
std::vector<Variable> joined_linear(const Variable& x, std::span<const LinearLayer> layers,
                                    const WeightStack& stack = {});

}  // namespace limbeck
