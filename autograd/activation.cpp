// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/activation.h>

namespace limbeck {

Variable activation(const Variable& x, Activation act) {
  if (act == Activation::none) return x;
  Tensor y = Tensor::empty_like(x.value());
  activation_forward(y, x.value(), act);
  const Tensor saved = activation_saves_input(act) ? x.value() : y;
  return record("activation", y, {x}, [saved, act](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    activation_backward(dx, dy, saved, act);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
