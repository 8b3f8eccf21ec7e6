// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/unit_columns.h>

#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/unit_columns.h>

namespace limbeck {

Variable unit_columns(const Variable& x) {
  const Tensor& xv = x.value();
  LIMBECK_CHECK(xv.rank() == 3, "unit_columns: x has shape ", xv.shape(), "; expected (N,P,C)");
  Tensor y = Tensor::empty_like(xv);
  Tensor norm = Tensor::empty({xv.dim(0), xv.dim(2)}, statistics_dtype(xv.dtype()), xv.device());
  unit_columns_forward(y, norm, xv);
  return record("unit_columns", y, {x}, [y, norm](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    unit_columns_backward(dx, dy, y, norm);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
