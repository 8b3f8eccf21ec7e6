// SPDX-License-Identifier: Apache-2.0
// Internal: one kernel for all pointwise ops.
#pragma once

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

template <class T, int kInputs>
struct Inputs {
  const T* at[kInputs];
};

template <class Fn>
LIMBECK_DEVICE float call(const Fn& fn, const float (&x)[1]) {
  return fn(x[0]);
}
template <class Fn>
LIMBECK_DEVICE float call(const Fn& fn, const float (&x)[2]) {
  return fn(x[0], x[1]);
}
template <class Fn>
LIMBECK_DEVICE float call(const Fn& fn, const float (&x)[3]) {
  return fn(x[0], x[1], x[2]);
}

/// y_i = fn(x_i), fn(x0_i, x1_i) or fn(x0_i, x1_i, x2_i), in f32; one thread per 16 bytes of y,
/// which may be any input.
template <class T, int kInputs, class Fn>
LIMBECK_KERNEL map_kernel(T* y, Inputs<T, kInputs> x, std::int64_t n, bool aligned, Fn fn) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t first = thread * kLanes<T>;
  float in[kInputs];
  if (aligned && first + kLanes<T> <= n) {
    Vector<T> vector[kInputs], out;
    for (int k = 0; k < kInputs; ++k) vector[k] = load_vector(x.at[k] + first);
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      for (int k = 0; k < kInputs; ++k) in[k] = vector[k].lane[lane];
      out.lane[lane] = T(call(fn, in));
    }
    store_vector(y + first, out);
    return;
  }
  for (std::int64_t i = first; i < first + kLanes<T> && i < n; ++i) {
    for (int k = 0; k < kInputs; ++k) in[k] = x.at[k][i];
    y[i] = T(call(fn, in));
  }
}

/// Launches map_kernel over y; fn is a function object of one to three floats.
template <class T, class Fn, class... Xs>
void map(const char* name, Tensor& y, Fn fn, const Xs&... x) {
  const std::int64_t n = y.numel();
  if (n == 0) return;
  const bool aligned = ((misalignment(x.raw()) | ...) | misalignment(y.raw())) == 0;
  launch({name, blocks_for(n, 256 * kLanes<T>), 256}, map_kernel<T, sizeof...(x), Fn>, y.data<T>(),
         Inputs<T, sizeof...(x)>{{x.template data<T>()...}}, n, aligned, fn);
}

}  // namespace limbeck::gpu
