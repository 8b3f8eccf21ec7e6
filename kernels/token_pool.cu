// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/token_pool.h>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 256;

struct Sequences {
  const std::int32_t* lengths;  // (N), or null
  std::int64_t N, T, D;
  TokenPool pool;

  LIMBECK_DEVICE std::int64_t length(std::int64_t n) const { return lengths ? lengths[n] : T; }
  LIMBECK_DEVICE bool valid(std::int64_t n) const { return 1 <= length(n) && length(n) <= T; }
  /// The tokens [begin, end) that are pooled.
  LIMBECK_DEVICE std::int64_t begin(std::int64_t n) const {
    return pool == TokenPool::last ? length(n) - 1 : 0;
  }
  LIMBECK_DEVICE std::int64_t end(std::int64_t n) const {
    return pool == TokenPool::first ? 1 : length(n);
  }
};

/// One thread per element of y; reads what is pooled.
template <class T>
LIMBECK_KERNEL token_pool_forward_kernel(T* y, const T* x, Sequences s) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= s.N * s.D) return;
  const std::int64_t n = i / s.D, c = i - n * s.D;
  if (!s.valid(n)) {
    y[i] = T(__builtin_nanf(""));
    return;
  }
  const std::int64_t begin = s.begin(n), end = s.end(n);
  float sum = 0;
  for (std::int64_t t = begin; t < end; ++t) sum += static_cast<float>(x[(n * s.T + t) * s.D + c]);
  y[i] = T(sum / static_cast<float>(end - begin));
}

/// One thread per element of dx; writes N*T*D.
template <class T>
LIMBECK_KERNEL token_pool_backward_kernel(T* dx, const T* dy, Sequences s) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= s.N * s.T * s.D) return;
  const std::int64_t token = i / s.D, n = token / s.T, t = token - n * s.T, c = i - token * s.D;
  if (!s.valid(n)) {
    dx[i] = T(__builtin_nanf(""));
    return;
  }
  const std::int64_t begin = s.begin(n), end = s.end(n);
  const bool inside = begin <= t && t < end;
  dx[i] = T(inside ? static_cast<float>(dy[n * s.D + c]) / static_cast<float>(end - begin) : 0.0f);
}

Sequences sequences(const Tensor& x, const Tensor& lengths, TokenPool pool) {
  return {lengths.defined() ? lengths.data<std::int32_t>() : nullptr, x.dim(0), x.dim(1), x.dim(2),
          pool};
}

}  // namespace

void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("token_pool_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"token_pool_forward", gpu::blocks_for(y.numel(), kThreads), kThreads},
                token_pool_forward_kernel<T>, y.data<T>(), x.data<T>(),
                sequences(x, lengths, pool));
  });
}

void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool) {
  if (dx.numel() == 0) return;
  gpu::visit_gpu_floating("token_pool_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"token_pool_backward", gpu::blocks_for(dx.numel(), kThreads), kThreads},
                token_pool_backward_kernel<T>, dx.data<T>(), dy.data<T>(),
                sequences(dx, lengths, pool));
  });
}

}  // namespace limbeck::cuda
