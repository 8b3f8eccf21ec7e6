// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/adaptive_avg_pool2d.h>

#include <limbeck/kernels/adaptive_avg_pool2d.h>

namespace limbeck {

Variable adaptive_avg_pool2d(const Variable& x, std::int64_t height, std::int64_t width) {
  const Tensor& xv = x.value();
  const Shape in = xv.shape();
  LIMBECK_CHECK(in.rank() == 4, "adaptive_avg_pool2d: x has shape ", in, "; expected (N,H,W,C)");
  LIMBECK_CHECK(height >= 1 && width >= 1, "adaptive_avg_pool2d: output is ", height, "x", width,
                "; expected at least 1x1");
  Tensor y = Tensor::empty({in[0], height, width, in[3]}, xv.dtype(), xv.device());
  adaptive_avg_pool2d_forward(y, xv);
  return record("adaptive_avg_pool2d", y, {x}, [in](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::empty(in, dy.dtype(), dy.device());
    adaptive_avg_pool2d_backward(dx, dy);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
