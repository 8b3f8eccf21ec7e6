// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/unit_mean.h>

#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/unit_mean.h>

namespace limbeck {

Variable unit_mean(const Variable& x) {
  const Tensor& xv = x.value();
  Tensor y = Tensor::empty_like(xv);
  Tensor mean = Tensor::empty({1}, statistics_dtype(xv.dtype()), xv.device());
  unit_mean_forward(y, mean, xv);
  return record("unit_mean", y, {x}, [y, mean](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    unit_mean_backward(dx, dy, y, mean);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
