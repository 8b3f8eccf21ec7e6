// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/matmul.h>

#include <limbeck/kernels/cublas.h>
#include <limbeck/kernels/bias.cuh>

namespace limbeck::cuda {

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  if (c.numel() == 0) return;
  if (a.numel() > 0)
    cublas::matmul(c, a, trans_a, b, trans_b, out);
  else if (out == Out::write)
    c.fill(0);
}

void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act) {
  if (y.numel() == 0) return;
  Tensor& z = pre != nullptr ? *pre : y;
  // Only relu is an epilogue: the library's gelu is the tanh approximation, ours is exact.
  const bool relu_fused = act == Activation::relu && pre == nullptr && x.numel() > 0;
  if (x.numel() > 0) {
    cublas::linear(z, x, w, bias, relu_fused);
  } else {
    z.fill(0);
    if (bias.defined()) gpu::add_bias(z, bias);
  }
  if (act != Activation::none && !relu_fused)
    cuda::activation_forward(y, z, act);
  else if (pre != nullptr)
    y.copy_from(z);
}

}  // namespace limbeck::cuda
