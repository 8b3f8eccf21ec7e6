// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/activation.h>

#include <array>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/pointwise.h>

namespace limbeck {
namespace {

constexpr std::array<std::string_view, 9> kNames = {
    "none", "relu", "gelu", "tanh", "sigmoid", "silu", "gelu_tanh", "relu6", "hardswish"};

void check_like(const char* op, const char* name, const Tensor& x, const char* which,
                const Tensor& y) {
  LIMBECK_CHECK(x.shape() == y.shape() && x.dtype() == y.dtype() && x.device() == y.device(), op,
                ": ", name, " is ", x.dtype(), x.shape(), " on ", x.device(), ", ", which, " ",
                y.dtype(), y.shape(), " on ", y.device(), "; expected equal ones");
}

void check_output(const char* op, const char* name, const Tensor& y) {
  LIMBECK_CHECK(y.defined(), op, ": ", name, " is undefined; expected an allocated tensor");
  LIMBECK_CHECK(is_floating(y.dtype()), op, ": ", name, " is ", y.dtype(),
                "; expected a floating dtype");
}

}  // namespace

std::string_view activation_name(Activation act) { return kNames[static_cast<std::size_t>(act)]; }

Activation parse_activation(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Activation>(i);
  throw std::invalid_argument(detail::concat(
      "activation '", name,
      "'; expected none, relu, gelu, tanh, sigmoid, silu, gelu_tanh, relu6 or hardswish"));
}

bool activation_saves_input(Activation act) {
  return act == Activation::gelu || act == Activation::gelu_tanh || act == Activation::silu ||
         act == Activation::hardswish;
}

void activation_forward(Tensor& y, const Tensor& x, Activation act) {
  check_output("activation_forward", "y", y);
  check_like("activation_forward", "x", x, "y", y);
  LIMBECK_DISPATCH(y.device(), activation_forward(y, x, act));
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act) {
  check_output("activation_backward", "dx", dx);
  check_like("activation_backward", "dy", dy, "dx", dx);
  if (act != Activation::none) check_like("activation_backward", "saved", saved, "dx", dx);
  LIMBECK_DISPATCH(dx.device(), activation_backward(dx, dy, saved, act));
}

namespace cpu {

void activation_forward(Tensor& y, const Tensor& x, Activation act) {
  if (act == Activation::none) return y.copy_from(x);
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_activation(act, [&](auto fn) { map(y.numel(), fn, y.data<T>(), x.data<T>()); });
  });
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act) {
  if (act == Activation::none) return dx.copy_from(dy);
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_activation(
        act, [&](auto fn) { map(dx.numel(), fn, dx.data<T>(), dy.data<T>(), saved.data<T>()); });
  });
}

}  // namespace cpu
}  // namespace limbeck
