// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/log_softmax.h>

#include <limbeck/kernels/log_softmax.h>

namespace limbeck {

Variable log_softmax(const Variable& x) {
  Tensor y = Tensor::empty_like(x.value());
  log_softmax_forward(y, x.value());
  return record("log_softmax", y, {x}, [y](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    log_softmax_backward(dx, dy, y);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
