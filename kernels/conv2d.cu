// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/conv2d.h>

#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/cudnn.h>
#include <limbeck/kernels/bias.cuh>

namespace limbeck::cuda {

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  if (y.numel() == 0) return;
  if (x.numel() > 0)
    cudnn::conv2d_forward(y, x, w, options);
  else
    y.fill(0);
  if (bias.defined())
    gpu::add_bias(y, bias, options.relu);
  else if (options.relu)
    cuda::activation_forward(y, y, Activation::relu);
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  if (dx.numel() == 0) return;
  if (dy.numel() > 0)
    cudnn::conv2d_backward_data(dx, dy, w, options);
  else
    dx.fill(0);
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  if (dw.numel() == 0) return;
  if (x.numel() > 0 && dy.numel() > 0)
    cudnn::conv2d_backward_weight(dw, x, dy, out, options);
  else if (out == Out::write)
    dw.fill(0);
}

}  // namespace limbeck::cuda
