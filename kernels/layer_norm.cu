// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/layer_norm.h>

#include <algorithm>

#include <limbeck/core/math.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/reduce.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

/// What a row is normalised with, and the parameters; null where there is none.
template <class T>
struct Norm {
  float* mean;  // (rows)
  float* rstd;  // (rows)
  const T* weight;
  const T* bias;

  LIMBECK_DEVICE float scale(int c) const { return weight ? static_cast<float>(weight[c]) : 1.0f; }
  LIMBECK_DEVICE float shift(int c) const { return bias ? static_cast<float>(bias[c]) : 0.0f; }
};

/// The sum over a row of fn(pack, j).
template <class Rows, class Fn>
LIMBECK_DEVICE float row_sum(const Rows& rows, Fn fn) {
  float sum[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) sum[0] += fn(p, j);
  });
  rows.reduce(sum, gpu::Sum{});
  return sum[0];
}

/// Reads and writes N*C elements; rows longer than 1024 are read three times.
template <class Rows, class Args, class T>
LIMBECK_KERNEL layer_norm_forward_kernel(Args args, Norm<T> norm, float eps) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const auto columns = static_cast<float>(args.columns);
  float mean = 0;
  if (norm.mean) mean = row_sum(rows, [](const auto& p, int j) { return p.z[0][j]; }) / columns;
  const float squares = row_sum(rows, [&](const auto& p, int j) {
    const float difference = p.z[0][j] - mean;
    return difference * difference;
  });
  const float rstd = 1.0f / math::sqrt(squares / columns + eps);
  rows.write([&](const auto& p, int j) {
    const int c = p.column(j);
    return math::fma((p.z[0][j] - mean) * rstd, norm.scale(c), norm.shift(c));
  });
  if (!rows.leader()) return;
  if (norm.mean) norm.mean[row] = mean;
  norm.rstd[row] = rstd;
}

/// Inputs dy and x; rows longer than 1024 are read twice.
template <class Rows, class Args, class T>
LIMBECK_KERNEL layer_norm_backward_kernel(Args args, Norm<T> norm) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const float mean = norm.mean ? norm.mean[row] : 0.0f, rstd = norm.rstd[row];
  float sum[2] = {0, 0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j) {
      if (!p.holds(j)) continue;
      const float g = p.z[0][j] * norm.scale(p.column(j));
      sum[0] += g;
      sum[1] = math::fma(g, (p.z[1][j] - mean) * rstd, sum[1]);
    }
  });
  rows.reduce(sum, gpu::Sum{});
  const auto columns = static_cast<float>(args.columns);
  const float shift = norm.mean ? sum[0] / columns : 0.0f, slope = sum[1] / columns;
  rows.write([&](const auto& p, int j) {
    const float n = (p.z[1][j] - mean) * rstd;
    return rstd * math::fma(-n, slope, p.z[0][j] * norm.scale(p.column(j)) - shift);
  });
}

constexpr int kRowLanes = 8;            // threads that share a column
constexpr std::int64_t kMinSlab = 128;  // rows
constexpr std::int64_t kMaxSlabs = 256;

template <class T>
struct WeightArgs {
  const T* dy;  // (N,C)
  const T* x;   // (N,C)
  std::int64_t N;
  int C;
  std::int64_t slab;  // rows
};

/// sums (slabs,C) = sums of dy n over each slab of rows. Block (32,8): neighbouring threads read
/// neighbouring columns.
template <class T>
LIMBECK_KERNEL layer_norm_weight_kernel(float* sums, WeightArgs<T> args, Norm<T> norm) {
  LIMBECK_SHARED(float, partial, [kRowLanes][gpu::kWarp]);
  const int c = static_cast<int>(blockIdx.x * gpu::kWarp + threadIdx.x);
  const std::int64_t begin = blockIdx.y * args.slab;
  const std::int64_t end = begin + args.slab < args.N ? begin + args.slab : args.N;
  float sum = 0;
  for (std::int64_t n = begin + threadIdx.y; c < args.C && n < end; n += kRowLanes) {
    const float mean = norm.mean ? norm.mean[n] : 0.0f;
    const float normal = (static_cast<float>(args.x[n * args.C + c]) - mean) * norm.rstd[n];
    sum = math::fma(static_cast<float>(args.dy[n * args.C + c]), normal, sum);
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  gpu::sync_block();
  if (threadIdx.y != 0 || c >= args.C) return;
  sum = 0;
  for (int lane = 0; lane < kRowLanes; ++lane) sum += partial[lane][threadIdx.x];
  sums[std::int64_t{blockIdx.y} * args.C + c] = sum;
}

/// The kernels' view of what forward saved; only the forward kernel writes to it.
template <class T>
Norm<T> saved_norm(const Tensor& mean, const Tensor& rstd, const Tensor& weight) {
  return {const_cast<float*>(data_or_null<float>(mean)), const_cast<float*>(rstd.data<float>()),
          data_or_null<T>(weight), nullptr};
}

}  // namespace

void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("layer_norm_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const std::int64_t C = x.dim(x.rank() - 1);
    const Args args{{x.data<T>()}, y.data<T>(), x.numel() / C, static_cast<int>(C)};
    const Norm<T> norm{mean.defined() ? mean.data<float>() : nullptr, rstd.data<float>(),
                       data_or_null<T>(weight), data_or_null<T>(bias)};
    gpu::visit_rows<T, 1>(C, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("layer_norm_forward", args.rows),
                  layer_norm_forward_kernel<Rows, Args, T>, args, norm, static_cast<float>(eps));
    });
  });
}

void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("layer_norm_backward", x.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 2>;
    const std::int64_t C = x.dim(x.rank() - 1);
    const Args args{{dy.data<T>(), x.data<T>()}, dx.data<T>(), x.numel() / C, static_cast<int>(C)};
    gpu::visit_rows<T, 2>(C, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("layer_norm_backward", args.rows),
                  layer_norm_backward_kernel<Rows, Args, T>, args,
                  saved_norm<T>(mean, rstd, weight));
    });
  });
}

void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out) {
  const std::int64_t C = x.dim(x.rank() - 1), N = x.numel() / C;
  const std::int64_t slabs = std::min(kMaxSlabs, (N + kMinSlab - 1) / kMinSlab);
  if (slabs == 0) {
    if (out == Out::write) dweight.fill(0);
    return;
  }
  const std::int64_t slab = (N + slabs - 1) / slabs;
  const unsigned used = gpu::blocks_for(N, slab);
  Tensor sums = Tensor::empty({used, C}, DType::f32, x.device());
  gpu::visit_gpu_floating("layer_norm_backward_weight", x.dtype(), [&]<class T>(TypeTag<T>) {
    const WeightArgs<T> args{dy.data<T>(), x.data<T>(), N, static_cast<int>(C), slab};
    gpu::launch({"layer_norm_weight", dim3(gpu::blocks_for(C, gpu::kWarp), used),
                 dim3(gpu::kWarp, kRowLanes)},
                layer_norm_weight_kernel<T>, sums.data<float>(), args,
                saved_norm<T>(mean, rstd, Tensor()));
  });
  cuda::sum_rows(dweight, sums, out);
}

}  // namespace limbeck::cuda
