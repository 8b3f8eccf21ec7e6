// SPDX-License-Identifier: Apache-2.0
// Pointwise activations, forward and backward.
#pragma once

#include <string_view>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// relu: max(x,0). gelu: x/2 (1 + erf(x/sqrt 2)). tanh. sigmoid s(x): 1/(1+e^-x). silu: x s(x).
/// gelu_tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's. relu6: min(max(x,0),6).
/// hardswish: x relu6(x + 3) / 6.
enum class Activation { none, relu, gelu, tanh, sigmoid, silu, gelu_tanh, relu6, hardswish };

std::string_view activation_name(Activation act);
Activation parse_activation(std::string_view name);  ///< throws std::invalid_argument

/// Whether the derivative is computed from the input (gelu, gelu_tanh, silu, hardswish), not from
/// the output (the others).
bool activation_saves_input(Activation act);

/// y = act(x), any equal shapes, any floating dtype; written; y may be x.
void activation_forward(Tensor& y, const Tensor& x, Activation act);

/// dx = dy * act'(x), written; dx may be dy. `saved` is the input x if
/// activation_saves_input, else the output y; none ignores it.
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
