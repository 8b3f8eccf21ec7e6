// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/linear.h>

#include <utility>

#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

// z = x w^T + b, y = act(z):  dz = dy act'(z),  dx = dz w,  dw = dz^T x,  db = sum over rows of dz.
void linear_backward(const Tensor& dy, std::span<InputGrad> inputs, const Tensor& x,
                     const Tensor& w, const Tensor& saved, Activation act) {
  Tensor dz = dy;
  if (act != Activation::none) activation_backward(dz, dy, saved, act);
  inputs[0].accumulate([&](Tensor& dx, Out out) { matmul(dx, dz, Trans::no, w, Trans::no, out); });
  inputs[1].accumulate([&](Tensor& dw, Out out) { matmul(dw, dz, Trans::yes, x, Trans::no, out); });
  inputs[2].accumulate([&](Tensor& db, Out out) { sum_rows(db, dz, out); });
}

}  // namespace

Variable linear(const Variable& x, const Variable& w, const Variable& bias, Activation act) {
  const Tensor& xv = x.value();
  const Tensor& wv = w.value();
  LIMBECK_CHECK(xv.rank() == 2 && wv.rank() == 2 && xv.dim(1) == wv.dim(1), "linear: x has shape ",
                xv.shape(), ", weight ", wv.shape(), "; expected (N,I) and (O,I)");
  const std::vector<Variable> inputs = {x, w, bias};
  Tensor y = Tensor::empty({xv.dim(0), wv.dim(0)}, xv.dtype(), xv.device());
  Tensor pre;
  if (activation_saves_input(act) && records(inputs)) pre = Tensor::empty_like(y);
  linear_forward(y, pre.defined() ? &pre : nullptr, xv, wv,
                 bias.defined() ? bias.value() : Tensor(), act);
  return record_linear(x, w, bias, act, y, pre);
}

Variable record_linear(const Variable& x, const Variable& w, const Variable& bias, Activation act,
                       Tensor y, const Tensor& pre) {
  const Tensor xv = x.value(), wv = w.value(), saved = activation_saves_input(act) ? pre : y;
  return record("linear", std::move(y), {x, w, bias},
                [xv, wv, saved, act](const Tensor& dy, std::span<InputGrad> grads) {
                  linear_backward(dy, grads, xv, wv, saved, act);
                });
}

}  // namespace limbeck
