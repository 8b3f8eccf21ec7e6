// SPDX-License-Identifier: Apache-2.0
// All passes over x share one shape: a block has 32 neighbouring columns of a slab of rows of one
// sample, 8 threads to a column. Slabs depend on the shape only, and their results are merged in an
// order fixed by the index.
#include <limbeck/kernels/channel_norm.h>

#include <algorithm>

#include <limbeck/core/math.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kRowLanes = 8;            // threads that share a column
constexpr std::int64_t kMinSlab = 128;  // rows
constexpr std::int64_t kMaxSlabs = 256;
constexpr int kMergeThreads = 128;

/// x (N,R,C) in G groups, and its slabs.
struct Cut {
  int N, C, G, slabs;
  std::int64_t R, slab;

  Cut(const Tensor& x, const Tensor& mean)
      : N(static_cast<int>(x.dim(0))),
        C(static_cast<int>(x.dim(2))),
        G(static_cast<int>(mean.dim(1))),
        R(x.dim(1)) {
    const std::int64_t wanted = std::min(kMaxSlabs, (R + kMinSlab - 1) / kMinSlab);
    slab = (R + wanted - 1) / wanted;
    slabs = static_cast<int>((R + slab - 1) / slab);
  }
  gpu::Launch launch(const char* name) const {
    const dim3 grid(gpu::blocks_for(C, gpu::kWarp), static_cast<unsigned>(slabs),
                    static_cast<unsigned>(N));
    return {name, grid, dim3(gpu::kWarp, kRowLanes)};
  }
  LIMBECK_HD int width() const { return C / G; }
  LIMBECK_HD std::int64_t rows_of(int s) const { return s + 1 < slabs ? slab : R - s * slab; }
};

/// A thread's part of a pass: its column, and every eighth row of the block's slab.
struct Part {
  int c, n;
  bool present;
  std::int64_t rows;   // of the slab
  std::int64_t first;  // element of the thread's column in the slab's first row
  std::int64_t piece;  // where (N,slabs,C) results go

  LIMBECK_DEVICE explicit Part(const Cut& cut)
      : c(static_cast<int>(blockIdx.x * gpu::kWarp + threadIdx.x)),
        n(static_cast<int>(blockIdx.z)),
        present(c < cut.C),
        rows(cut.rows_of(static_cast<int>(blockIdx.y))),
        first((n * cut.R + blockIdx.y * cut.slab) * cut.C + c),
        piece((std::int64_t{n} * cut.slabs + blockIdx.y) * cut.C + c) {}
  /// Calls fn(element) for the thread's rows, if its column exists.
  template <class Fn>
  LIMBECK_DEVICE void each(const Cut& cut, Fn fn) const {
    for (std::int64_t r = threadIdx.y; present && r < rows; r += kRowLanes) fn(first + r * cut.C);
  }
  /// Sums value[k] over the column's threads, all of which get the result.
  template <int kCount>
  LIMBECK_DEVICE static void sum_column(float (&value)[kCount]) {
    LIMBECK_SHARED(float, partial, [kCount][kRowLanes][gpu::kWarp]);
    gpu::sync_block();  // an earlier call's partials have been read
    for (int k = 0; k < kCount; ++k) partial[k][threadIdx.y][threadIdx.x] = value[k];
    gpu::sync_block();
    for (int k = 0; k < kCount; ++k) {
      value[k] = 0;
      for (int lane = 0; lane < kRowLanes; ++lane) value[k] += partial[k][lane][threadIdx.x];
    }
  }
  LIMBECK_DEVICE bool writes() const { return threadIdx.y == 0 && present; }
};

/// mean, m2 (N,slabs,C) of each slab's columns; reads x twice, the second time from a cache.
template <class T>
LIMBECK_KERNEL channel_moments_kernel(float* mean, float* m2, const T* x, Cut cut) {
  const Part part(cut);
  const auto count = static_cast<float>(part.rows);
  float center[1] = {0};
  part.each(cut, [&](std::int64_t i) { center[0] += static_cast<float>(x[i]); });
  Part::sum_column(center);
  center[0] /= count;
  float sum[2] = {0, 0};  // of differences, which correct the mean, and of their squares
  part.each(cut, [&](std::int64_t i) {
    const float difference = static_cast<float>(x[i]) - center[0];
    sum[0] += difference;
    sum[1] = math::fma(difference, difference, sum[1]);
  });
  Part::sum_column(sum);
  if (!part.writes()) return;
  mean[part.piece] = center[0] + sum[0] / count;
  m2[part.piece] = sum[1] - sum[0] * (sum[0] / count);
}

/// One block per group: merges the moments of its channels' slabs.
LIMBECK_KERNEL channel_merge_kernel(float* mean, float* variance, const float* means,
                                    const float* m2, Cut cut) {
  const int n = static_cast<int>(blockIdx.x) / cut.G, g = static_cast<int>(blockIdx.x) % cut.G;
  const int width = cut.width(), items = cut.slabs * width;
  const auto each = [&](auto fn) {
    for (int i = static_cast<int>(threadIdx.x); i < items; i += kMergeThreads) {
      const int s = i / width, c = g * width + i % width;
      fn((std::int64_t{n} * cut.slabs + s) * cut.C + c, static_cast<float>(cut.rows_of(s)));
    }
  };
  const auto count = static_cast<float>(cut.R * width);
  // Less one of the means, so that nothing is lost when all of them are large.
  const float near = means[std::int64_t{n} * cut.slabs * cut.C + g * width];
  float sum[1] = {0};
  each([&](std::int64_t i, float rows) { sum[0] = math::fma(rows, means[i] - near, sum[0]); });
  gpu::block_reduce<kMergeThreads>(sum, gpu::Sum{});
  const float center = near + sum[0] / count;
  float squares[1] = {0};
  each([&](std::int64_t i, float rows) {
    const float apart = means[i] - center;
    squares[0] += math::fma(rows, apart * apart, m2[i]);
  });
  gpu::block_reduce<kMergeThreads>(squares, gpu::Sum{});
  if (threadIdx.x != 0) return;
  mean[blockIdx.x] = center;
  variance[blockIdx.x] = squares[0] / count;
}

/// What a column is normalised with, and the parameters; null where there is none.
template <class T>
struct Norm {
  const float* mean;      // (N,G)
  const float* variance;  // (N,G)
  const T* weight;
  const T* bias;
  float eps;

  LIMBECK_DEVICE float scale(int c) const { return weight ? static_cast<float>(weight[c]) : 1.0f; }
  LIMBECK_DEVICE float shift(int c) const { return bias ? static_cast<float>(bias[c]) : 0.0f; }
  LIMBECK_DEVICE float rstd(std::int64_t group) const {
    return 1.0f / math::sqrt(variance[group] + eps);
  }
};

LIMBECK_DEVICE std::int64_t group_of(const Part& part, const Cut& cut) {
  return std::int64_t{part.n} * cut.G + part.c / cut.width();
}

/// Reads x and writes y.
template <class T>
LIMBECK_KERNEL channel_norm_forward_kernel(T* y, const T* x, Norm<T> norm, Cut cut) {
  const Part part(cut);
  if (!part.present) return;
  const std::int64_t group = group_of(part, cut);
  const float center = norm.mean[group], shift = norm.shift(part.c);
  const float scale = norm.rstd(group) * norm.scale(part.c);
  part.each(cut, [&](std::int64_t i) {
    y[i] = T(math::fma(static_cast<float>(x[i]) - center, scale, shift));
  });
}

/// sums (2,N,slabs,C) of dy and of dy n.
template <class T>
LIMBECK_KERNEL channel_norm_sums_kernel(float* sums, const T* dy, const T* x, Norm<T> norm,
                                        Cut cut) {
  const Part part(cut);
  float sum[2] = {0, 0};
  if (part.present) {
    const std::int64_t group = group_of(part, cut);
    const float center = norm.mean[group], rstd = norm.rstd(group);
    part.each(cut, [&](std::int64_t i) {
      const auto g = static_cast<float>(dy[i]);
      sum[0] += g;
      sum[1] = math::fma(g, (static_cast<float>(x[i]) - center) * rstd, sum[1]);
    });
  }
  Part::sum_column(sum);
  if (!part.writes()) return;
  sums[part.piece] = sum[0];
  sums[std::int64_t{cut.N} * cut.slabs * cut.C + part.piece] = sum[1];
}

/// One thread per sample and channel: adds up the slabs' sums.
LIMBECK_KERNEL channel_norm_finish_kernel(float* sum_dy, float* sum_dyn, const float* sums,
                                          Cut cut) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kMergeThreads + threadIdx.x;
  if (i >= std::int64_t{cut.N} * cut.C) return;
  const float* from = sums + i / cut.C * cut.slabs * cut.C + i % cut.C;
  const std::int64_t apart = std::int64_t{cut.N} * cut.slabs * cut.C;
  float plain = 0, with_n = 0;
  for (int s = 0; s < cut.slabs; ++s) {
    plain += from[std::int64_t{s} * cut.C];
    with_n += from[apart + std::int64_t{s} * cut.C];
  }
  sum_dy[i] = plain;
  sum_dyn[i] = with_n;
}

/// One block per group: means (2,N,G) of g and of g n from the sums per channel.
template <class T>
LIMBECK_KERNEL channel_norm_means_kernel(float* means, const float* sum_dy, const float* sum_dyn,
                                         Norm<T> norm, Cut cut) {
  const int n = static_cast<int>(blockIdx.x) / cut.G, g = static_cast<int>(blockIdx.x) % cut.G;
  float sum[2] = {0, 0};
  for (int i = static_cast<int>(threadIdx.x); i < cut.width(); i += gpu::kWarp) {
    const int c = g * cut.width() + i;
    sum[0] = math::fma(norm.scale(c), sum_dy[std::int64_t{n} * cut.C + c], sum[0]);
    sum[1] = math::fma(norm.scale(c), sum_dyn[std::int64_t{n} * cut.C + c], sum[1]);
  }
  gpu::warp_reduce(sum, gpu::Sum{});
  if (threadIdx.x != 0) return;
  const auto count = static_cast<float>(cut.R * cut.width());
  means[blockIdx.x] = sum[0] / count;
  means[std::int64_t{cut.N} * cut.G + blockIdx.x] = sum[1] / count;
}

/// Reads dy and x and writes dx; means null: the statistics are constants.
template <class T>
LIMBECK_KERNEL channel_norm_backward_kernel(T* dx, const T* dy, const T* x, const float* means,
                                            Norm<T> norm, Cut cut) {
  const Part part(cut);
  if (!part.present) return;
  const std::int64_t group = group_of(part, cut);
  const float rstd = norm.rstd(group), center = norm.mean[group];
  const float scale = rstd * norm.scale(part.c);
  const float shift = means ? rstd * means[group] : 0.0f;
  const float slope = means ? rstd * rstd * means[std::int64_t{cut.N} * cut.G + group] : 0.0f;
  part.each(cut, [&](std::int64_t i) {
    const float down = math::fma(static_cast<float>(x[i]) - center, slope, shift);
    dx[i] = T(math::fma(static_cast<float>(dy[i]), scale, -down));
  });
}

template <class T>
Norm<T> norm_of(const Tensor& mean, const Tensor& variance, const Tensor& weight,
                const Tensor& bias, double eps) {
  return {mean.data<float>(), variance.data<float>(), data_or_null<T>(weight),
          data_or_null<T>(bias), static_cast<float>(eps)};
}

}  // namespace

void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x) {
  if (x.numel() == 0) return;
  const Cut cut(x, mean);
  Tensor means = Tensor::empty({cut.N, cut.slabs, cut.C}, DType::f32, x.device());
  Tensor m2 = Tensor::empty_like(means);
  gpu::visit_gpu_floating("channel_statistics", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(cut.launch("channel_moments"), channel_moments_kernel<T>, means.data<float>(),
                m2.data<float>(), x.data<T>(), cut);
  });
  gpu::launch({"channel_merge", static_cast<unsigned>(cut.N * cut.G), kMergeThreads},
              channel_merge_kernel, mean.data<float>(), variance.data<float>(), means.data<float>(),
              m2.data<float>(), cut);
}

void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps) {
  if (x.numel() == 0) return;
  const Cut cut(x, mean);
  gpu::visit_gpu_floating("channel_norm_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(cut.launch("channel_norm_forward"), channel_norm_forward_kernel<T>, y.data<T>(),
                x.data<T>(), norm_of<T>(mean, variance, weight, bias, eps), cut);
  });
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps) {
  if (x.numel() == 0) return;
  const Cut cut(x, mean);
  Tensor sums = Tensor::empty({2, cut.N, cut.slabs, cut.C}, DType::f32, x.device());
  gpu::visit_gpu_floating("channel_norm_sums", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(cut.launch("channel_norm_sums"), channel_norm_sums_kernel<T>, sums.data<float>(),
                dy.data<T>(), x.data<T>(), norm_of<T>(mean, variance, Tensor(), Tensor(), eps),
                cut);
  });
  const unsigned blocks = gpu::blocks_for(std::int64_t{cut.N} * cut.C, kMergeThreads);
  gpu::launch({"channel_norm_finish", blocks, kMergeThreads}, channel_norm_finish_kernel,
              sum_dy.data<float>(), sum_dyn.data<float>(), sums.data<float>(), cut);
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps) {
  if (x.numel() == 0) return;
  const Cut cut(x, mean);
  gpu::visit_gpu_floating("channel_norm_backward", x.dtype(), [&]<class T>(TypeTag<T>) {
    const Norm<T> norm = norm_of<T>(mean, variance, weight, Tensor(), eps);
    Tensor means;
    if (sum_dy.defined()) {
      means = Tensor::empty({2, cut.N, cut.G}, DType::f32, x.device());
      gpu::launch({"channel_norm_means", static_cast<unsigned>(cut.N * cut.G), gpu::kWarp},
                  channel_norm_means_kernel<T>, means.data<float>(), sum_dy.data<float>(),
                  sum_dyn.data<float>(), norm, cut);
    }
    gpu::launch(cut.launch("channel_norm_backward"), channel_norm_backward_kernel<T>, dx.data<T>(),
                dy.data<T>(), x.data<T>(), data_or_null<float>(means), norm, cut);
  });
}

}  // namespace limbeck::cuda
