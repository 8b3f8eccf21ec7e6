// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/log_softmax.h>

#include <limbeck/kernels/log_softmax.h>

namespace limbeck {

Variable log_softmax(const Variable& x, double tau) {
  Tensor y = Tensor::empty_like(x.value());
  log_softmax_forward(y, x.value(), tau);
  return record("log_softmax", y, {x}, [y, tau](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    log_softmax_backward(dx, dy, y, tau);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
