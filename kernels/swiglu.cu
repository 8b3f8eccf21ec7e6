// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/swiglu.h>

#include <limbeck/kernels/swiglu_functions.h>
#include <limbeck/kernels/pointwise.cuh>

namespace limbeck::cuda {

void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b) {
  gpu::visit_gpu_floating("swiglu_forward", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::map<T>("swiglu_forward", y, Swiglu{}, a, b);
  });
}

void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b) {
  gpu::visit_gpu_floating("swiglu_backward", a.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::map<T>("swiglu_backward_a", da, SwigluGradA{}, dy, a, b);
    gpu::map<T>("swiglu_backward_b", db, Swiglu{}, a, dy);
  });
}

}  // namespace limbeck::cuda
