// SPDX-License-Identifier: Apache-2.0
// Convolutions of several models that read the same images, as differentiable ops of one kernel
// call.
#pragma once

#include <span>
#include <vector>

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/joined_conv2d.h>

namespace limbeck {

struct Conv2dLayer {
  Variable w, bias;  ///< (O,KH,KW,C), and (O) or undefined
  bool relu = false;
  bool frozen = false;  ///< its result is not recorded
};

/// The results of conv2d() (autograd/conv2d.h) for each of them, with its gradients, computed by
/// joined_conv2d_forward.
std::vector<Variable> joined_conv2d(const Variable& x, std::span<const Conv2dLayer> layers,
                                    const Conv2dOptions& options, const WeightStack& stack = {});

}  // namespace limbeck
