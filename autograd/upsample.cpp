// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/upsample.h>

namespace limbeck {

Variable upsample(const Variable& x, const UpsampleOptions& options) {
  const Tensor& xv = x.value();
  const Shape in = xv.shape();
  Tensor y = Tensor::empty(upsample_output_shape(in, options), xv.dtype(), xv.device());
  upsample_forward(y, xv, options);
  return record("upsample", y, {x}, [in, options](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
    upsample_backward(dx, dy, options);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
