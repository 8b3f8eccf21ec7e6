// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/conv2d.h>

#include <limbeck/kernels/reduce.h>

namespace limbeck {

Variable conv2d(const Variable& x, const Variable& w, const Variable& bias,
                const Conv2dOptions& options) {
  const Tensor& xv = x.value();
  const Tensor& wv = w.value();
  Tensor y =
      Tensor::empty(conv2d_output_shape(xv.shape(), wv.shape(), options), xv.dtype(), xv.device());
  conv2d_forward(y, xv, wv, bias.defined() ? bias.value() : Tensor(), options);
  return record(
      "conv2d", y, {x, w, bias}, [xv, wv, options](const Tensor& dy, std::span<InputGrad> inputs) {
        if (inputs[0].needed()) {
          Tensor dx = Tensor::empty_like(xv);
          conv2d_backward_data(dx, dy, wv, options);
          inputs[0].give(dx);
        }
        inputs[1].accumulate(
            [&](Tensor& dw, Out out) { conv2d_backward_weight(dw, xv, dy, out, options); });
        inputs[2].accumulate([&](Tensor& db, Out out) {
          sum_rows(db, dy.reshape({dy.dim(0) * dy.dim(1) * dy.dim(2), dy.dim(3)}), out);
        });
      });
}

}  // namespace limbeck
