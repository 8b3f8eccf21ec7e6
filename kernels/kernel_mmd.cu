// SPDX-License-Identifier: Apache-2.0
// The kernels of all pairs first, then the gradient as sums over a row of pairs.
#include <limbeck/kernels/kernel_mmd.h>

#include <limbeck/kernels/kernel_mmd_functions.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kPairThreads = kWarps * gpu::kWarp;
constexpr int kColumns = 128;  // per block of the gradient
constexpr int kFinishThreads = 256;

template <class T>
struct Args {
  const T *s, *t;  // (B,D), (M,D)
  T* ds;           // or null
  float* pairs;    // (2, B, B + M): pull and push of each pair, or null
  float* sums;     // (2, B + M): of a row's kernels with s and with t
  std::int64_t B, M;
  int D;
  MmdKernel<float> kernel;

  LIMBECK_DEVICE const T* row(std::int64_t i) const { return i < B ? s + i * D : t + (i - B) * D; }
};

/// A block per row of s and t, a warp per pair: a row of s is paired with all rows, one of t with
/// those of t. Row i of s and row i of t belong to the same warp, so that equal populations have
/// sums of the same bits. Reads (B + M) D elements per block, mostly from L2.
template <class T>
LIMBECK_KERNEL mmd_pairs_kernel(Args<T> args) {
  LIMBECK_SHARED(float, partial, [kWarps][2]);
  const std::int64_t a = blockIdx.x, all = args.B + args.M;
  const T* x = args.row(a);
  float total[2] = {0, 0};
  const auto add_pairs = [&](float& sum, std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin + gpu::warp(); b < end; b += kWarps) {
      const T* y = args.row(b);
      float apart[2] = {0, 0};
      for (int d = gpu::lane(); d < args.D; d += gpu::kWarp) {
        const float difference = static_cast<float>(y[d]) - static_cast<float>(x[d]);
        apart[0] = math::fma(difference, difference, apart[0]);
        apart[1] += difference < 0.0f ? -difference : difference;
      }
      gpu::warp_reduce(apart, gpu::Sum{});
      const KernelPair<float> pair = args.kernel(apart[0], apart[1]);
      sum += pair.k;
      if (gpu::lane() != 0 || args.pairs == nullptr || a >= args.B) continue;
      args.pairs[a * all + b] = pair.pull;
      args.pairs[(args.B + a) * all + b] = pair.push;
    }
  };
  if (a < args.B) add_pairs(total[0], 0, args.B);
  add_pairs(total[1], args.B, all);
  if (gpu::lane() == 0)
    for (int k = 0; k < 2; ++k) partial[gpu::warp()][k] = total[k];
  gpu::sync_block();
  if (threadIdx.x >= 2) return;
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += partial[w][threadIdx.x];
  args.sums[threadIdx.x * all + a] = sum;
}

/// A thread per element of ds, which is one chain over the pairs.
template <class T>
LIMBECK_KERNEL mmd_gradient_kernel(Args<T> args, float within, float across) {
  const std::int64_t a = blockIdx.x, all = args.B + args.M;
  const int d = static_cast<int>(blockIdx.y) * kColumns + static_cast<int>(threadIdx.x);
  if (d >= args.D) return;
  const auto x = static_cast<float>(args.s[a * args.D + d]);
  float sum = 0;
  for (std::int64_t b = 0; b < all; ++b) {
    const float factor = b < args.B ? within : across;
    const float near = factor * args.pairs[a * all + b];
    const float far = factor * args.pairs[(args.B + a) * all + b];
    const float difference = static_cast<float>(args.row(b)[d]) - x;
    const float step = difference > 0.0f ? far : difference < 0.0f ? -far : 0.0f;
    sum = math::fma(near, difference, sum + step);
  }
  args.ds[a * args.D + d] = T(sum);
}

/// One block: the loss from the sums of rows.
LIMBECK_KERNEL mmd_finish_kernel(float* loss, const float* sums, std::int64_t B, std::int64_t M) {
  const std::int64_t all = B + M;
  float total[3] = {0, 0, 0};  // s with s, s with t, t with t
  for (std::int64_t a = threadIdx.x; a < B; a += kFinishThreads) {
    total[0] += sums[a];
    total[1] += sums[all + a];
  }
  for (std::int64_t i = threadIdx.x; i < M; i += kFinishThreads) total[2] += sums[all + B + i];
  gpu::block_reduce<kFinishThreads>(total, gpu::Sum{});
  if (threadIdx.x != 0) return;
  const auto b = static_cast<double>(B), m = static_cast<double>(M);
  *loss = static_cast<float>(total[0] / (b * b) + total[2] / (m * m) - 2 * (total[1] / (b * m)));
}

}  // namespace

void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options) {
  const std::int64_t B = s.dim(0), M = t.dim(0), D = s.dim(1);
  const auto b = static_cast<double>(B), m = static_cast<double>(M);
  Tensor sums = Tensor::empty({2, B + M}, DType::f32, s.device()), pairs;
  if (ds.defined()) pairs = Tensor::empty({2, B, B + M}, DType::f32, s.device());
  gpu::visit_gpu_floating("kernel_mmd", s.dtype(), [&]<class T>(TypeTag<T>) {
    const Args<T> args{s.data<T>(),
                       t.data<T>(),
                       ds.defined() ? ds.data<T>() : nullptr,
                       ds.defined() ? pairs.data<float>() : nullptr,
                       sums.data<float>(),
                       B,
                       M,
                       static_cast<int>(D),
                       MmdKernel<float>(options)};
    gpu::launch({"mmd_pairs", static_cast<unsigned>(B + M), kPairThreads}, mmd_pairs_kernel<T>,
                args);
    if (ds.defined())
      gpu::launch({"mmd_gradient", dim3(static_cast<unsigned>(B), gpu::blocks_for(D, kColumns)),
                   dim3(kColumns)},
                  mmd_gradient_kernel<T>, args, static_cast<float>(2 / (b * b)),
                  static_cast<float>(-2 / (b * m)));
  });
  gpu::launch({"mmd_finish", 1, kFinishThreads}, mmd_finish_kernel, loss.data<float>(),
              std::as_const(sums).data<float>(), B, M);
}

}  // namespace limbeck::cuda
