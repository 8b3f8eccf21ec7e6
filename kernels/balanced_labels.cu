// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/balanced_labels.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/order_key.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kTile = kThreads / gpu::kWarp;  // rows that a block of column sums reads at once
constexpr float kInf = __builtin_huge_valf();

/// Logits and what is added to each row of them.
template <class T>
struct Logits {
  const T* z;
  const float* offset;  // (V) or null
  int N, V;

  LIMBECK_DEVICE float at(int n, int v) const {
    const float x = static_cast<float>(z[std::int64_t{n} * V + v]);
    return offset ? x + offset[v] : x;
  }
};

/// The first column of the largest element of row blockIdx.x.
template <class T>
LIMBECK_DEVICE int argmax_row(const Logits<T>& rows) {
  gpu::Key best[1] = {0};
  for (int v = static_cast<int>(threadIdx.x); v < rows.V; v += kThreads)
    best[0] = gpu::Max{}(best[0], gpu::order_key(rows.at(static_cast<int>(blockIdx.x), v), v));
  gpu::block_reduce<kThreads>(best, gpu::Max{});
  return gpu::column_of(best[0]);
}

template <class T>
LIMBECK_DEVICE float log_sum_row(const Logits<T>& rows, float max) {
  float sum[1] = {0};
  for (int v = static_cast<int>(threadIdx.x); v < rows.V; v += kThreads)
    sum[0] += math::exp(rows.at(static_cast<int>(blockIdx.x), v) - max);
  gpu::block_reduce<kThreads>(sum, gpu::Sum{});
  return max + math::log(sum[0]);
}

/// One block per row; reads N*V twice.
template <class T>
LIMBECK_KERNEL row_sums_kernel(float* lse, Logits<T> rows) {
  const int n = static_cast<int>(blockIdx.x);
  const float sum = log_sum_row(rows, rows.at(n, argmax_row(rows)));
  if (threadIdx.x == 0) lse[n] = sum;
}

/// out_v = log sum_n exp(z_nv - lse_n), or what it lacks to `wanted`. One block for 32 columns, a
/// warp for every fourth row, these then in order; reads N*V twice.
template <class T>
LIMBECK_KERNEL column_sums_kernel(float* out, Logits<T> rows, const float* lse,
                                  const std::int32_t* counted, const float* wanted) {
  LIMBECK_SHARED(float, part, [kTile][gpu::kWarp]);
  const int v = static_cast<int>(blockIdx.x) * gpu::kWarp + gpu::lane();
  const auto each = [&](auto fn) {
    for (int n = gpu::warp(); n < rows.N && v < rows.V; n += kTile)
      if (!counted || counted[n] != kIgnoreIndex)
        fn(static_cast<float>(rows.z[std::int64_t{n} * rows.V + v]) - lse[n]);
  };
  float max = -kInf;
  each([&](float x) { max = x > max ? x : max; });
  part[gpu::warp()][gpu::lane()] = max;
  gpu::sync_block();
  for (int w = 0; w < kTile; ++w) {
    const float other = part[w][gpu::lane()];
    max = other > max ? other : max;
  }
  gpu::sync_block();  // all have read the maxima
  const float shift = max == -kInf ? 0.0f : max;
  float sum = 0;
  each([&](float x) { sum += math::exp(x - shift); });
  part[gpu::warp()][gpu::lane()] = sum;
  gpu::sync_block();
  if (gpu::warp() != 0 || v >= rows.V) return;
  float total = 0;
  for (int w = 0; w < kTile; ++w) total += part[w][gpu::lane()];
  const float had = max == -kInf ? -kInf : max + math::log(total);
  out[v] = !wanted ? had : had == -kInf ? 0.0f : wanted[v] - had;
}

/// One block per row; reads N*V twice.
template <class T>
LIMBECK_KERNEL choose_kernel(std::int32_t* labels, Logits<T> rows, const std::int32_t* counted,
                             float threshold) {
  const int n = static_cast<int>(blockIdx.x);
  const int best = argmax_row(rows);
  const float top = rows.at(n, best);
  const bool sure = math::exp(top - log_sum_row(rows, top)) >= threshold;
  const bool counts = !counted || counted[n] != kIgnoreIndex;
  if (threadIdx.x == 0) labels[n] = counts && (sure || threshold <= 0) ? best : kIgnoreIndex;
}

template <class T>
void run(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
         const BalancedLabelsOptions& options, const Tensor& counted) {
  const int N = static_cast<int>(student.dim(0)), V = static_cast<int>(student.dim(1));
  const auto rows = static_cast<unsigned>(N);
  const unsigned columns = gpu::blocks_for(V, gpu::kWarp);
  const std::int32_t* counts = counted.defined() ? counted.data<std::int32_t>() : nullptr;
  Tensor lse = Tensor::empty({N}, DType::f32, student.device());
  Tensor wanted = Tensor::empty({V}, DType::f32, student.device());
  const Logits<T> taught = {weak.data<T>(), nullptr, N, V};
  const Logits<T> own = {student.data<T>(), offsets.data<float>(), N, V};
  const float* none = nullptr;
  gpu::launch({"balanced_labels", rows, kThreads}, row_sums_kernel<T>, lse.data<float>(), taught);
  gpu::launch({"balanced_labels", columns, kThreads}, column_sums_kernel<T>, wanted.data<float>(),
              taught, lse.data<float>(), counts, none);
  offsets.fill(0);
  for (int i = 0; i < options.iterations; ++i) {
    gpu::launch({"balanced_labels", rows, kThreads}, row_sums_kernel<T>, lse.data<float>(), own);
    gpu::launch({"balanced_labels", columns, kThreads}, column_sums_kernel<T>,
                offsets.data<float>(), own, lse.data<float>(), counts, wanted.data<float>());
  }
  gpu::launch({"balanced_labels", rows, kThreads}, choose_kernel<T>, labels.data<std::int32_t>(),
              own, counts, static_cast<float>(options.threshold));
}

}  // namespace

void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options, const Tensor& counted) {
  gpu::visit_gpu_floating("balanced_labels", student.dtype(), [&]<class T>(TypeTag<T>) {
    run<T>(labels, offsets, student, weak, options, counted);
  });
}

}  // namespace limbeck::cuda
