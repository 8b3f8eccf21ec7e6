// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/conv2d.h>

#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {

Variable conv2d(const Variable& x, const Variable& w, const Variable& bias,
                const Conv2dOptions& options) {
  const Tensor& xv = x.value();
  const Tensor& wv = w.value();
  Tensor y =
      Tensor::empty(conv2d_output_shape(xv.shape(), wv.shape(), options), xv.dtype(), xv.device());
  conv2d_forward(y, xv, wv, bias.defined() ? bias.value() : Tensor(), options);
  return record_conv2d(x, w, bias, options, y);
}

Variable record_conv2d(const Variable& x, const Variable& w, const Variable& bias,
                       const Conv2dOptions& options, Tensor y) {
  const Tensor xv = x.value(), wv = w.value();
  const Tensor saved = options.relu ? y : Tensor();
  return record("conv2d", std::move(y), {x, w, bias},
                [xv, wv, saved, options](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dz = dy;  // y = relu(z)
                  if (options.relu) activation_backward(dz, dy, saved, Activation::relu);
                  if (inputs[0].needed()) {
                    Tensor dx = Tensor::empty_like(xv);
                    conv2d_backward_data(dx, dz, wv, options);
                    inputs[0].give(dx);
                  }
                  inputs[1].accumulate([&](Tensor& dw, Out out) {
                    conv2d_backward_weight(dw, xv, dz, out, options);
                  });
                  inputs[2].accumulate([&](Tensor& db, Out out) {
                    sum_rows(db, dz.reshape({dz.dim(0) * dz.dim(1) * dz.dim(2), dz.dim(3)}), out);
                  });
                });
}

}  // namespace limbeck
