// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/cross_entropy.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/labels.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck {
namespace {

void check(const Tensor& row_loss, const Tensor& dlogits, const Tensor& logits,
           const Tensor& labels, const CrossEntropyOptions& options) {
  LIMBECK_CHECK(options.mean_over >= 0, "cross_entropy: mean_over is ", options.mean_over,
                "; expected >= 0");
  LIMBECK_CHECK(options.label_smoothing >= 0 && options.label_smoothing < 1,
                "cross_entropy: label_smoothing is ", options.label_smoothing,
                "; expected 0 <= label_smoothing < 1");
  LIMBECK_CHECK(logits.rank() == 2 && logits.dim(1) >= 1, "cross_entropy: logits has shape ",
                logits.shape(), "; expected (N,V) with V >= 1");
  LIMBECK_CHECK(is_floating(logits.dtype()), "cross_entropy: logits is ", logits.dtype(),
                "; expected a floating dtype");
  const std::int64_t N = logits.dim(0);
  const DType loss_dtype = logits.dtype() == DType::f64 ? DType::f64 : DType::f32;
  LIMBECK_CHECK(row_loss.shape() == Shape({N}) && row_loss.dtype() == loss_dtype &&
                    row_loss.device() == logits.device(),
                "cross_entropy: row_loss is ", row_loss.dtype(), row_loss.shape(), " on ",
                row_loss.device(), "; expected ", loss_dtype, "(", N, ") on ", logits.device());
  LIMBECK_CHECK(!dlogits.defined() ||
                    (dlogits.shape() == logits.shape() && dlogits.dtype() == logits.dtype() &&
                     dlogits.device() == logits.device()),
                "cross_entropy: dlogits is ", dlogits.dtype(), dlogits.shape(), " on ",
                dlogits.device(), "; expected ", logits.dtype(), logits.shape(), " on ",
                logits.device());
  check_labels("cross_entropy", labels, N, logits.dim(1), logits.device());
}

}  // namespace

void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options) {
  check(row_loss, dlogits, logits, labels, options);
  LIMBECK_DISPATCH(logits.device(),
                   cross_entropy_forward_with_grad(row_loss, dlogits, logits, labels, options));
}

namespace cpu {
namespace {

// Loss and gradient of the rows of one tile, by `smoothing` spread over all classes; z and e are
// its two arrays.
template <class F, class Tile, class T>
void cross_entropy_tile(const Tile& tile, F* z, F* row_loss, T* dlogits, const T* logits,
                        const std::int32_t* label, F scale, F smoothing) {
  F* e = z + tile.size();
  F max[kLanes], sum[kLanes], total[kLanes];
  tile.load(z, logits);
  tile.max(max, z);
  if (smoothing > 0) {
    tile.load(e, logits, F(0));
    tile.sum(total, e);
  }
  tile.exp_and_sum(e, sum, z, max);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    const bool ignored = label[row] == kIgnoreIndex;
    const F at_label = ignored ? F(0) : z[tile.index(row, label[row])];
    F below_max = max[row] - at_label;
    if (smoothing > 0)
      below_max = (1 - smoothing) * below_max +
                  smoothing * (max[row] - total[row] / static_cast<F>(tile.V));
    row_loss[row] = ignored ? F(0) : math::log(sum[row]) + below_max;
  }
  if (dlogits == nullptr) return;
  for (int lane = 0; lane < kLanes; ++lane) sum[lane] = scale / sum[lane];
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) e[i + lane] *= sum[lane];
  }
  const F share = scale * smoothing / static_cast<F>(tile.V);
  for (std::int64_t i = 0; smoothing > 0 && i < tile.size(); ++i) e[i] -= share;
  for (std::int64_t row = 0; row < tile.count; ++row)
    if (label[row] != kIgnoreIndex) e[tile.index(row, label[row])] -= scale * (1 - smoothing);
  tile.store(dlogits, e);
  for (std::int64_t row = 0; row < tile.count; ++row)
    for (std::int64_t v = 0; label[row] == kIgnoreIndex && v < tile.V; ++v)
      dlogits[row * tile.V + v] = 0;
}

template <class T>
void cross_entropy(Tensor& row_loss, Tensor& dlogits, const Tensor& logits, const Tensor& labels,
                   const CrossEntropyOptions& options) {
  using F = ComputeType<T>;
  const std::int64_t N = logits.dim(0), V = logits.dim(1);
  const std::int32_t* label = labels.data<std::int32_t>();
  const F scale = static_cast<F>(mean_scale(options.mean_over, label, N));
  const F smoothing = static_cast<F>(options.label_smoothing);
  F* loss = row_loss.data<F>();
  T* grad = dlogits.defined() ? dlogits.data<T>() : nullptr;
  const T* z = logits.data<T>();
  for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
    cross_entropy_tile(tile, buffer, loss + n, grad == nullptr ? nullptr : grad + n * V, z + n * V,
                       label + n, scale, smoothing);
  });
}

}  // namespace

void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options) {
  visit_floating(logits.dtype(), [&](auto tag) {
    cross_entropy<typename decltype(tag)::type>(row_loss, dlogits, logits, labels, options);
  });
}

}  // namespace cpu
}  // namespace limbeck
