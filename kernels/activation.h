// SPDX-License-Identifier: Apache-2.0
// Pointwise activations, forward and backward.
#pragma once

#include <string_view>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// relu: max(x,0). gelu: x/2 (1 + erf(x/sqrt 2)). tanh. sigmoid: 1/(1+e^-x).
enum class Activation { none, relu, gelu, tanh, sigmoid };

std::string_view activation_name(Activation act);
Activation parse_activation(std::string_view name);  ///< throws std::invalid_argument

/// y = act(x), any equal shapes, any floating dtype; written; y may be x.
void activation_forward(Tensor& y, const Tensor& x, Activation act);

/// dx = dy * act'(x), written; dx may be dy. `saved` is the input x for gelu and the output y for
/// relu, tanh and sigmoid (whose derivatives are functions of the output); none ignores it.
void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act);

namespace cpu {
void activation_forward(Tensor& y, const Tensor& x, Activation act);
void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act);
}  // namespace cpu
namespace cuda {
void activation_forward(Tensor& y, const Tensor& x, Activation act);
void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act);
}  // namespace cuda

}  // namespace limbeck
