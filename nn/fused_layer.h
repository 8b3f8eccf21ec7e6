// SPDX-License-Identifier: Apache-2.0
// Layers that have one op with what comes after them, with the values of both.
#pragma once

#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/joined_linear.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// The activation that a layer is; none for any other.
Activation activation_of(const Module* layer);
/// Whether `layer` has an op with that activation of its result: a Linear with any, a Conv2d, a
/// BatchNorm and a GroupNorm with relu.
bool runs_with(const Module* layer, Activation act);
/// Whether it has one with an addition and then that activation: a norm with relu.
bool runs_with_sum(const Module* layer, Activation act);

/// act(layer(x)), or act(layer(x) + skip) where skip is defined, for what the above says. With
/// `packed`, the weight of a Linear, nothing is recorded.
Variable forward_fused(Module& layer, const Variable& x, Context& context, Activation act,
                       const Variable& skip, const PackedWeight& packed);

}  // namespace limbeck
