// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/pool2d.h>

namespace limbeck {

Variable max_pool2d(const Variable& x, const Pool2dOptions& options) {
  const Tensor& xv = x.value();
  const Shape in = xv.shape(), out = pool2d_output_shape(in, options);
  Tensor y = Tensor::empty(out, xv.dtype(), xv.device());
  Tensor index;
  if (records(std::vector{x})) index = Tensor::empty(out, DType::i32, xv.device());
  max_pool2d_forward(y, index, xv, options);
  return record("max_pool2d", y, {x},
                [in, index, options](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
                  max_pool2d_backward(dx, dy, index, options);
                  inputs[0].give(dx);
                });
}

Variable avg_pool2d(const Variable& x, const Pool2dOptions& options) {
  const Tensor& xv = x.value();
  const Shape in = xv.shape();
  Tensor y = Tensor::empty(pool2d_output_shape(in, options), xv.dtype(), xv.device());
  avg_pool2d_forward(y, xv, options);
  return record("avg_pool2d", y, {x}, [in, options](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
    avg_pool2d_backward(dx, dy, options);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
