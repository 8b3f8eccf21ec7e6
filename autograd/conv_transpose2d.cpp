// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/conv_transpose2d.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {

Shape conv_transpose2d_output_shape(const Shape& x, const Shape& w,
                                    const ConvTranspose2dOptions& options) {
  const Conv2dOptions& o = options.conv;
  const char* op = "conv_transpose2d";
  LIMBECK_CHECK(o.stride >= 1 && o.padding >= 0 && o.dilation >= 1 && o.groups >= 1, op,
                ": stride is ", o.stride, ", padding ", o.padding, ", dilation ", o.dilation,
                ", groups ", o.groups, "; expected padding >= 0, the others >= 1");
  LIMBECK_CHECK(0 <= options.output_padding && options.output_padding < o.stride, op,
                ": output_padding is ", options.output_padding, ", stride ", o.stride,
                "; expected 0 <= output_padding < stride");
  LIMBECK_CHECK(x.rank() == 4 && w.rank() == 4 && w.numel() > 0 && x[1] >= 1 && x[2] >= 1 &&
                    x[3] == w[0] && w[0] % o.groups == 0,
                op, ": x has shape ", x, ", w ", w, ", groups ", o.groups,
                "; expected (N,H,W,I) and (I,KH,KW,O/groups), I a multiple of groups");
  const auto extent = [&](int i) {
    return (x[i] - 1) * o.stride - 2 * o.padding + o.dilation * (w[i] - 1) +
           options.output_padding + 1;
  };
  LIMBECK_CHECK(extent(1) >= 1 && extent(2) >= 1, op, ": x has shape ", x, ", w ", w, ", padding ",
                o.padding, "; expected an output of at least 1x1");
  return {x[0], extent(1), extent(2), w[3] * o.groups};
}

Variable conv_transpose2d(const Variable& x, const Variable& w, const Variable& bias,
                          const ConvTranspose2dOptions& options) {
  const Tensor& xv = x.value();
  const Tensor& wv = w.value();
  const Conv2dOptions conv = options.conv;
  Tensor y = Tensor::empty(conv_transpose2d_output_shape(xv.shape(), wv.shape(), options),
                           xv.dtype(), xv.device());
  conv2d_backward_data(y, xv, wv, conv);
  if (bias.defined()) add_bias(y, bias.value());
  // y is linear in x through the transpose of conv2d's matrix: dx goes through the matrix itself,
  // and x and dy change places in dw.
  return record("conv_transpose2d", y, {x, w, bias},
                [xv, wv, conv](const Tensor& dy, std::span<InputGrad> inputs) {
                  if (inputs[0].needed()) {
                    Tensor dx = Tensor::empty_like(xv);
                    conv2d_forward(dx, dy, wv, Tensor(), conv);
                    inputs[0].give(dx);
                  }
                  inputs[1].accumulate(
                      [&](Tensor& dw, Out out) { conv2d_backward_weight(dw, dy, xv, out, conv); });
                  inputs[2].accumulate([&](Tensor& db, Out out) {
                    sum_rows(db, dy.reshape({dy.numel() / dy.dim(3), dy.dim(3)}), out);
                  });
                });
}

}  // namespace limbeck
