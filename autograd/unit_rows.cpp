// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/unit_rows.h>

#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/unit_rows.h>

namespace limbeck {
Variable unit_rows(const Variable& x) {
  const Tensor& rows = x.value();
  check_rows("unit_rows", "x", rows);
  Tensor y = Tensor::empty_like(rows);
  Tensor norm = Tensor::empty({rows.dim(0)}, statistics_dtype(rows.dtype()), rows.device());
  unit_rows_forward(y, norm, rows);
  return record("unit_rows", y, {x}, [y, norm](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    unit_rows_backward(dx, dy, y, norm);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
