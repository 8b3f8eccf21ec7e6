// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/row_squares.h>

#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_squares.h>

namespace limbeck {

Variable row_squares(const Variable& x) {
  const Tensor& xv = x.value();
  check_rows("row_squares", "x", xv);
  Tensor q = Tensor::empty({xv.dim(0)}, statistics_dtype(xv.dtype()), xv.device());
  row_squares_forward(q, xv);
  return record("row_squares", q, {x}, [xv](const Tensor& dq, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::empty_like(xv);
    row_squares_backward(dx, dq, xv);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck
