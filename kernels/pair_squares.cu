// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/pair_squares.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * gpu::kWarp;
constexpr int kColumns = 128;  // per block of the gradient
constexpr int kRows = 4;       // that share what is loaded of a partner

template <class T>
LIMBECK_DEVICE double in_double(T x) {
  return static_cast<double>(static_cast<float>(x));
}

/// A warp per row j >= i and block of four rows i: reads up to 5 N D / 4 elements per block, mostly
/// from L2. Squares of a pair are written to both of its places by one lane.
template <class T>
LIMBECK_KERNEL pair_squares_forward_kernel(double* squares, const T* x, std::int64_t N,
                                           std::int64_t D) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kRows;
  const std::int64_t j = begin + static_cast<std::int64_t>(blockIdx.y) * kWarps + gpu::warp();
  if (j >= N) return;
  const T* y = x + j * D;
  const T* rows[kRows];
  LIMBECK_UNROLL
  for (int k = 0; k < kRows; ++k) rows[k] = x + (begin + k < N ? begin + k : N - 1) * D;
  double sum[kRows] = {};
  for (std::int64_t d = gpu::lane(); d < D; d += gpu::kWarp) {
    const double partner = in_double(y[d]);
    LIMBECK_UNROLL
    for (int k = 0; k < kRows; ++k) {
      const double difference = in_double(rows[k][d]) - partner;
      sum[k] = math::fma(difference, difference, sum[k]);
    }
  }
  gpu::warp_reduce(sum, gpu::Sum{});
  if (gpu::lane() != 0) return;
  LIMBECK_UNROLL
  for (int k = 0; k < kRows; ++k) {
    const std::int64_t i = begin + k;
    if (i <= j) squares[i * N + j] = squares[j * N + i] = sum[k];
  }
}

/// A thread per column of four rows of dx, each element one chain over the partners.
template <class T>
LIMBECK_KERNEL pair_squares_backward_kernel(T* dx, const T* x, const double* dsquares,
                                            const float* factor, std::int64_t N, std::int64_t D) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kRows;
  const std::int64_t d = static_cast<std::int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  if (d >= D) return;
  const auto row = [&](int k) { return begin + k < N ? begin + k : N - 1; };
  double own[kRows], sum[kRows] = {};
  LIMBECK_UNROLL
  for (int k = 0; k < kRows; ++k) own[k] = in_double(x[row(k) * D + d]);
  for (std::int64_t j = 0; j < N; ++j) {
    const double partner = in_double(x[j * D + d]);
    LIMBECK_UNROLL
    for (int k = 0; k < kRows; ++k)
      sum[k] = math::fma(dsquares[row(k) * N + j], own[k] - partner, sum[k]);
  }
  const double twice = 2.0 * *factor;
  LIMBECK_UNROLL
  for (int k = 0; k < kRows; ++k)
    if (begin + k < N) dx[(begin + k) * D + d] = T(static_cast<float>(twice * sum[k]));
}

}  // namespace

void pair_squares_forward(Tensor& squares, const Tensor& x) {
  const std::int64_t N = x.dim(0), D = x.dim(1);
  if (N == 0) return;
  gpu::visit_gpu_floating("pair_squares_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"pair_squares_forward",
                 dim3(gpu::blocks_for(N, kRows), gpu::blocks_for(N, kWarps)), kThreads},
                pair_squares_forward_kernel<T>, squares.data<double>(), x.data<T>(), N, D);
  });
}

void pair_squares_backward(Tensor& dx, const Tensor& x, const Tensor& dsquares,
                           const Tensor& factor) {
  const std::int64_t N = x.dim(0), D = x.dim(1);
  if (N == 0) return;
  gpu::visit_gpu_floating("pair_squares_backward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"pair_squares_backward",
                 dim3(gpu::blocks_for(N, kRows), gpu::blocks_for(D, kColumns)), kColumns},
                pair_squares_backward_kernel<T>, dx.data<T>(), x.data<T>(), dsquares.data<double>(),
                factor.data<float>(), N, D);
  });
}

}  // namespace limbeck::cuda
