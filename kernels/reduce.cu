// SPDX-License-Identifier: Apache-2.0
// Sums in two steps whose pieces depend on the shape only: blocks sum pieces, then the pieces' sums
// are summed. No atomics, so the same bits on every GPU.
#include <limbeck/kernels/reduce.h>

#include <algorithm>

#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kPieceThreads = 256;
constexpr std::int64_t kPiece = 8192;  // elements per block
constexpr int kFinishThreads = 1024;

struct Itself {
  LIMBECK_DEVICE float operator()(float v) const { return v; }
};

/// 0 for a finite v, else NaN, which survives every sum.
struct TimesZero {
  LIMBECK_DEVICE float operator()(float v) const { return v * 0.0f; }
};

template <class T>
struct Elements {
  const T* x;
  std::int64_t n;
  bool aligned;
};

/// sums_b = sum of fn over piece b; reads every element once, 16 bytes at a time.
template <class T, class Fn>
LIMBECK_KERNEL sum_pieces_kernel(float* sums, Elements<T> in, Fn fn) {
  constexpr int L = gpu::kLanes<T>;
  const std::int64_t begin = blockIdx.x * kPiece;
  const std::int64_t end = begin + kPiece < in.n ? begin + kPiece : in.n;
  float sum[1] = {0};
  for (std::int64_t i = begin + threadIdx.x * L; i < end; i += kPieceThreads * L) {
    if (in.aligned && i + L <= end) {
      const auto v = gpu::load_vector(in.x + i);
      for (int j = 0; j < L; ++j) sum[0] += fn(static_cast<float>(v.lane[j]));
    } else {
      for (std::int64_t j = i; j < i + L && j < end; ++j) sum[0] += fn(static_cast<float>(in.x[j]));
    }
  }
  gpu::block_reduce<kPieceThreads>(sum, gpu::Sum{});
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}

/// One block: s, or flag = (the sum is 0), from `pieces` numbers.
LIMBECK_KERNEL finish_sum_kernel(float* s, std::int32_t* flag, const float* sums, unsigned pieces) {
  float sum[1] = {0};
  for (unsigned i = threadIdx.x; i < pieces; i += kFinishThreads) sum[0] += sums[i];
  gpu::block_reduce<kFinishThreads>(sum, gpu::Sum{});
  if (threadIdx.x != 0) return;
  if (s) *s = sum[0];
  if (flag) *flag = sum[0] == 0;
}

template <class Fn>
Tensor sum_pieces(const Tensor& x, Fn fn) {
  const unsigned pieces = gpu::blocks_for(x.numel(), kPiece);
  Tensor sums = Tensor::empty({pieces}, DType::f32, x.device());
  gpu::visit_gpu_floating("sum", x.dtype(), [&]<class T>(TypeTag<T>) {
    const Elements<T> in{x.data<T>(), x.numel(), gpu::misalignment(x.raw()) == 0};
    gpu::launch({"sum_pieces", pieces, kPieceThreads}, sum_pieces_kernel<T, Fn>, sums.data<float>(),
                in, fn);
  });
  return sums;
}

void finish_sum(float* s, std::int32_t* flag, const Tensor& sums) {
  gpu::launch({"finish_sum", 1, kFinishThreads}, finish_sum_kernel, s, flag, sums.data<float>(),
              sums.numel());
}

constexpr int kRowLanes = 8;            // threads that share a column
constexpr std::int64_t kMinSlab = 128;  // rows
constexpr std::int64_t kMaxSlabs = 256;

struct Matrix {
  std::int64_t N;
  int C;
  std::int64_t slab;  // rows
};

/// sums (slabs, C) = column sums of each slab of rows of x (N,C), written or added. Block (32,8):
/// neighbouring threads read neighbouring columns.
template <class S, class T>
LIMBECK_KERNEL sum_rows_kernel(S* sums, const T* x, Matrix m, bool add) {
  LIMBECK_SHARED(float, partial, [kRowLanes][gpu::kWarp]);
  const int c = static_cast<int>(blockIdx.x * gpu::kWarp + threadIdx.x);
  const std::int64_t begin = blockIdx.y * m.slab;
  const std::int64_t end = begin + m.slab < m.N ? begin + m.slab : m.N;
  float sum = 0;
  for (std::int64_t n = begin + threadIdx.y; c < m.C && n < end; n += kRowLanes)
    sum += static_cast<float>(x[n * m.C + c]);
  partial[threadIdx.y][threadIdx.x] = sum;
  gpu::sync_block();
  if (threadIdx.y != 0 || c >= m.C) return;
  S* s = sums + std::int64_t{blockIdx.y} * m.C + c;
  sum = add ? static_cast<float>(*s) : 0.0f;
  for (int lane = 0; lane < kRowLanes; ++lane) sum += partial[lane][threadIdx.x];
  *s = S(sum);
}

template <class S, class T>
void launch_sum_rows(S* sums, const T* x, const Matrix& m, bool add) {
  const dim3 grid(gpu::blocks_for(m.C, gpu::kWarp), gpu::blocks_for(m.N, m.slab));
  gpu::launch({"sum_rows", grid, dim3(gpu::kWarp, kRowLanes)}, sum_rows_kernel<S, T>, sums, x, m,
              add);
}

}  // namespace

void sum(Tensor& s, const Tensor& x) {
  if (x.numel() == 0) return s.fill(0);
  if (x.numel() <= kPiece && x.dtype() == DType::f32)
    return finish_sum(s.data<float>(), nullptr, x);
  finish_sum(s.data<float>(), nullptr, sum_pieces(x, Itself{}));
}

void sum_rows(Tensor& s, const Tensor& x, Out out) {
  const std::int64_t N = x.dim(0), C = x.dim(1);
  if (C == 0) return;
  if (N == 0) {
    if (out == Out::write) s.fill(0);
    return;
  }
  const std::int64_t slabs = std::min(kMaxSlabs, (N + kMinSlab - 1) / kMinSlab);
  const Matrix all{N, static_cast<int>(C), (N + slabs - 1) / slabs};
  const bool add = out == Out::add;
  gpu::visit_gpu_floating("sum_rows", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::visit_gpu_floating("sum_rows", s.dtype(), [&]<class S>(TypeTag<S>) {
      if (slabs == 1) return launch_sum_rows(s.data<S>(), x.data<T>(), all, add);
      const std::int64_t used = gpu::blocks_for(N, all.slab);
      Tensor sums = Tensor::empty({used, C}, DType::f32, x.device());
      launch_sum_rows(sums.data<float>(), x.data<T>(), all, false);
      launch_sum_rows(s.data<S>(), std::as_const(sums).data<float>(), {used, all.C, used}, add);
    });
  });
}

void all_finite(Tensor& flag, const Tensor& x) {
  if (x.numel() == 0) return flag.fill(1);
  finish_sum(nullptr, flag.data<std::int32_t>(), sum_pieces(x, TimesZero{}));
}

}  // namespace limbeck::cuda
