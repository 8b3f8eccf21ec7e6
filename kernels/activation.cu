// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/activation.h>

#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/pointwise.cuh>

namespace limbeck::cuda {
void activation_forward(Tensor& y, const Tensor& x, Activation act) {
  if (act == Activation::none) return y.copy_from(x);
  gpu::visit_gpu_floating("activation_forward", y.dtype(), [&]<class T>(TypeTag<T>) {
    visit_activation(act, [&](auto fn) { gpu::map<T>("activation_forward", y, fn, x); });
  });
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act) {
  if (act == Activation::none) return dx.copy_from(dy);
  gpu::visit_gpu_floating("activation_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    visit_activation(act, [&](auto fn) { gpu::map<T>("activation_backward", dx, fn, dy, saved); });
  });
}

}  // namespace limbeck::cuda
