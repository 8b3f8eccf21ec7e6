// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/layer_norm.h>

#include <limbeck/kernels/layer_norm.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

Tensor value_or_none(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

/// RMS norm when not centred.
Variable normalise_rows(const char* op, const Variable& x, const Variable& weight,
                        const Variable& bias, double eps, bool centred) {
  const Tensor& xv = x.value();
  check_norm_input(op, xv);
  const std::int64_t C = xv.dim(xv.rank() - 1), rows = xv.numel() / C;
  Tensor rstd = Tensor::empty({rows}, statistics_dtype(xv.dtype()), xv.device());
  Tensor mean = centred ? Tensor::empty_like(rstd) : Tensor();
  Tensor y = Tensor::empty_like(xv);
  const Tensor w = value_or_none(weight);
  layer_norm_forward(y, mean, rstd, xv, w, value_or_none(bias), eps);
  return record(op, y, {x, weight, bias},
                [xv, mean, rstd, w, rows, C](const Tensor& dy, std::span<InputGrad> inputs) {
                  inputs[1].accumulate([&](Tensor& dw, Out out) {
                    layer_norm_backward_weight(dw, dy, xv, mean, rstd, out);
                  });
                  inputs[2].accumulate([&](Tensor& db, Out out) {
                    sum_rows(db, dy.reshape({rows, C}), out);
                  });
                  if (!inputs[0].needed()) return;
                  Tensor dx = dy;  // the parameters have read it
                  layer_norm_backward(dx, dy, xv, mean, rstd, w);
                  inputs[0].give(dx);
                });
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
  return normalise_rows("layer_norm", x, weight, bias, eps, true);
}

Variable rms_norm(const Variable& x, const Variable& weight, double eps) {
  return normalise_rows("rms_norm", x, weight, Variable(), eps, false);
}

}  // namespace limbeck
