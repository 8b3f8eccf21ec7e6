// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/unit_rows.h>

#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/unit_rows.h>

namespace limbeck {
namespace {

struct Polar {
  Tensor direction, length;
};

Polar polar(const char* op, const Tensor& x) {
  check_rows(op, "x", x);
  Polar p{Tensor::empty_like(x),
          Tensor::empty({x.dim(0)}, statistics_dtype(x.dtype()), x.device())};
  unit_rows_forward(p.direction, p.length, x);
  return p;
}

}  // namespace

Variable unit_rows(const Variable& x) {
  const Polar p = polar("unit_rows", x.value());
  return record("unit_rows", p.direction, {x}, [p](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    unit_rows_backward(dx, dy, p.direction, p.length);
    inputs[0].give(dx);
  });
}

Variable row_norms(const Variable& x) {
  const Polar p = polar("row_norms", x.value());
  return record("row_norms", p.length, {x},
                [direction = p.direction](const Tensor& dnorm, std::span<InputGrad> inputs) {
                  Tensor dx = direction;  // nobody else reads it
                  row_norms_backward(dx, dnorm, direction);
                  inputs[0].give(dx);
                });
}

}  // namespace limbeck
