// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/softmax.h>

#include <limbeck/kernels/softmax.h>

namespace limbeck {

Variable softmax(const Variable& x, double tau) {
  Tensor y = Tensor::empty_like(x.value());
  softmax_forward(y, x.value(), tau);
  return record("softmax", y, {x}, [y, tau](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    softmax_backward(dx, dy, y, tau);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
