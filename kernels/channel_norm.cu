// SPDX-License-Identifier: Apache-2.0
// All passes over x share one shape: a block has 32 neighbouring columns of a slab of rows of one
// sample, 8 threads to a column. Slabs depend on the shape only, and their results are merged in an
// order fixed by the index.
#include <limbeck/kernels/channel_norm.h>

#include <algorithm>

#include <limbeck/core/math.h>
#include <limbeck/kernels/activation_functions.h>
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

/// What x is normalised with, and the parameters; null where there is none.
template <class T>
struct Norm {
  const float* mean;      // (N,G)
  const float* variance;  // (N,G)
  const T* weight;
  const T* bias;
  float eps;
  bool relu;

  LIMBECK_DEVICE float scale(int c) const { return weight ? static_cast<float>(weight[c]) : 1.0f; }
  LIMBECK_DEVICE float shift(int c) const { return bias ? static_cast<float>(bias[c]) : 0.0f; }
};

/// What a thread's column is normalised with.
struct Column {
  std::int64_t group;
  float center, rstd, scale, shift;

  template <class T>
  LIMBECK_DEVICE Column(const Part& part, const Cut& cut, const Norm<T>& norm)
      : group(std::int64_t{part.n} * cut.G + part.c / cut.width()),
        center(norm.mean[group]),
        rstd(1.0f / math::sqrt(norm.variance[group] + norm.eps)),
        scale(rstd * norm.scale(part.c)),
        shift(norm.shift(part.c)) {}
  template <class T>
  LIMBECK_DEVICE T value(T x) const {
    return T(math::fma(static_cast<float>(x) - center, scale, shift));
  }
  /// dy, or with relu 0 where the value is not above 0.
  template <class T>
  LIMBECK_DEVICE float gradient(T dy, T x, bool relu) const {
    const auto g = static_cast<float>(dy);
    return relu ? Relu{}(g, static_cast<float>(value(x))) : g;
  }
};

/// Reads x and writes y.
template <class T>
LIMBECK_KERNEL channel_norm_forward_kernel(T* y, const T* x, Norm<T> norm, Cut cut) {
  const Part part(cut);
  if (!part.present) return;
  const Column column(part, cut, norm);
  part.each(cut, [&](std::int64_t i) {
    const T value = column.value(x[i]);
    y[i] = norm.relu ? T(Relu{}(static_cast<float>(value))) : value;
  });
}

/// Reads x and skip and writes y.
template <class T>
LIMBECK_KERNEL channel_norm_add_relu_forward_kernel(T* y, const T* x, const T* skip, Norm<T> norm,
                                                    Cut cut) {
  const Part part(cut);
  if (!part.present) return;
  const Column column(part, cut, norm);
  part.each(cut, [&](std::int64_t i) {
    const T sum = T(static_cast<float>(column.value(x[i])) + static_cast<float>(skip[i]));
    y[i] = T(Relu{}(static_cast<float>(sum)));
  });
}

/// sums (2,N,slabs,C) of a column's g = gradient(column, element) and of g n.
template <class T, class Fn>
LIMBECK_DEVICE void sum_gradients(float* sums, const T* x, const Norm<T>& norm, const Cut& cut,
                                  Fn gradient) {
  const Part part(cut);
  float sum[2] = {0, 0};
  if (part.present) {
    const Column column(part, cut, norm);
    part.each(cut, [&](std::int64_t i) {
      const float g = gradient(column, i);
      sum[0] += g;
      sum[1] = math::fma(g, (static_cast<float>(x[i]) - column.center) * column.rstd, sum[1]);
    });
  }
  Part::sum_column(sum);
  if (!part.writes()) return;
  sums[part.piece] = sum[0];
  sums[std::int64_t{cut.N} * cut.slabs * cut.C + part.piece] = sum[1];
}

/// Reads dy and x.
template <class T>
LIMBECK_KERNEL channel_norm_sums_kernel(float* sums, const T* dy, const T* x, Norm<T> norm,
                                        Cut cut) {
  sum_gradients(sums, x, norm, cut, [&](const Column& column, std::int64_t i) {
    return column.gradient(dy[i], x[i], norm.relu);
  });
}

/// Reads dy, y and x and writes dz.
template <class T>
LIMBECK_KERNEL channel_norm_add_relu_sums_kernel(float* sums, T* dz, const T* dy, const T* y,
                                                 const T* x, Norm<T> norm, Cut cut) {
  sum_gradients(sums, x, norm, cut, [&](const Column&, std::int64_t i) {
    const float g = Relu{}(static_cast<float>(dy[i]), static_cast<float>(y[i]));
    dz[i] = T(g);
    return g;
  });
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
  const Column column(part, cut, norm);
  const float rstd = column.rstd;
  const float shift = means ? rstd * means[column.group] : 0.0f;
  const float slope =
      means ? rstd * rstd * means[std::int64_t{cut.N} * cut.G + column.group] : 0.0f;
  part.each(cut, [&](std::int64_t i) {
    const float g = column.gradient(dy[i], x[i], norm.relu);
    const float down = math::fma(static_cast<float>(x[i]) - column.center, slope, shift);
    dx[i] = T(math::fma(g, column.scale, -down));
  });
}

template <class T>
Norm<T> norm_of(const ChannelNorm& norm) {
  return {norm.mean.data<float>(),    norm.variance.data<float>(),  data_or_null<T>(norm.weight),
          data_or_null<T>(norm.bias), static_cast<float>(norm.eps), norm.relu};
}

/// The slabs' sums, which `fill` is to launch a kernel for, added up.
template <class Fill>
void sum_slabs(Tensor& sum_dy, Tensor& sum_dyn, const Cut& cut, Fill fill) {
  Tensor sums = Tensor::empty({2, cut.N, cut.slabs, cut.C}, DType::f32, sum_dy.device());
  fill(sums.data<float>());
  const unsigned blocks = gpu::blocks_for(std::int64_t{cut.N} * cut.C, kMergeThreads);
  gpu::launch({"channel_norm_finish", blocks, kMergeThreads}, channel_norm_finish_kernel,
              sum_dy.data<float>(), sum_dyn.data<float>(), sums.data<float>(), cut);
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

void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  if (x.numel() == 0) return;
  const Cut cut(x, norm.mean);
  gpu::visit_gpu_floating("channel_norm_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(cut.launch("channel_norm_forward"), channel_norm_forward_kernel<T>, y.data<T>(),
                x.data<T>(), norm_of<T>(norm), cut);
  });
}

void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm) {
  if (x.numel() == 0) return;
  const Cut cut(x, norm.mean);
  gpu::visit_gpu_floating("channel_norm_add_relu_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(cut.launch("channel_norm_add_relu_forward"),
                channel_norm_add_relu_forward_kernel<T>, y.data<T>(), x.data<T>(), skip.data<T>(),
                norm_of<T>(norm), cut);
  });
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm) {
  if (x.numel() == 0) return;
  const Cut cut(x, norm.mean);
  sum_slabs(sum_dy, sum_dyn, cut, [&](float* sums) {
    gpu::visit_gpu_floating("channel_norm_sums", x.dtype(), [&]<class T>(TypeTag<T>) {
      gpu::launch(cut.launch("channel_norm_sums"), channel_norm_sums_kernel<T>, sums, dy.data<T>(),
                  x.data<T>(), norm_of<T>(norm), cut);
    });
  });
}

void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  if (x.numel() == 0) return;
  const Cut cut(x, norm.mean);
  sum_slabs(sum_dy, sum_dyn, cut, [&](float* sums) {
    gpu::visit_gpu_floating("channel_norm_add_relu_sums", x.dtype(), [&]<class T>(TypeTag<T>) {
      gpu::launch(cut.launch("channel_norm_add_relu_sums"), channel_norm_add_relu_sums_kernel<T>,
                  sums, dz.data<T>(), dy.data<T>(), y.data<T>(), x.data<T>(), norm_of<T>(norm),
                  cut);
    });
  });
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn) {
  if (x.numel() == 0) return;
  const Cut cut(x, norm.mean);
  gpu::visit_gpu_floating("channel_norm_backward", x.dtype(), [&]<class T>(TypeTag<T>) {
    const Norm<T> on_gpu = norm_of<T>(norm);
    Tensor means;
    if (sum_dy.defined()) {
      means = Tensor::empty({2, cut.N, cut.G}, DType::f32, x.device());
      gpu::launch({"channel_norm_means", static_cast<unsigned>(cut.N * cut.G), gpu::kWarp},
                  channel_norm_means_kernel<T>, means.data<float>(), sum_dy.data<float>(),
                  sum_dyn.data<float>(), on_gpu, cut);
    }
    gpu::launch(cut.launch("channel_norm_backward"), channel_norm_backward_kernel<T>, dx.data<T>(),
                dy.data<T>(), x.data<T>(), data_or_null<float>(means), on_gpu, cut);
  });
}

}  // namespace limbeck::cuda
