// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/cross_entropy.h>

#include <limbeck/kernels/mean_scale.cuh>
#include <limbeck/kernels/row_softmax.cuh>

namespace limbeck::cuda {
namespace {

/// The sum over a row of max - z.
template <class Rows>
LIMBECK_DEVICE float sum_below(const Rows& rows, float max) {
  float sum[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) sum[0] += max - p.z[0][j];
  });
  rows.reduce(sum, gpu::Sum{});
  return sum[0];
}

/// Reads N*V and writes N*V elements; rows longer than 1024 are read twice.
template <class Rows, class Args>
LIMBECK_KERNEL cross_entropy_kernel(float* row_loss, Args args, const std::int32_t* labels,
                                    gpu::MeanScale mean, float smoothing) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const std::int32_t label = labels[row];
  if (label == kIgnoreIndex) {
    rows.write([](const auto&, int) { return 0.0f; });
    if (rows.leader()) row_loss[row] = 0;
    return;
  }
  const bool valid = 0 <= label && label < args.columns;
  const float at_label = valid ? rows.at(0, label) : __builtin_nanf("");
  const gpu::LogSumExp lse = gpu::log_sum_exp(rows);
  float below_max = lse.max - at_label;
  if (smoothing > 0)
    below_max = (1 - smoothing) * below_max +
                smoothing * (sum_below(rows, lse.max) / static_cast<float>(args.columns));
  if (rows.leader()) row_loss[row] = lse.log_sum + below_max;
  if (args.out == nullptr) return;
  const float scale = static_cast<float>(mean.value());
  const float over_sum = scale / lse.sum, at_target = scale * (1 - smoothing);
  const float share = scale * smoothing / static_cast<float>(args.columns);
  rows.write([&](const auto& p, int j) {
    const float gradient = math::exp(p.z[0][j] - lse.max) * over_sum - share;
    return p.column(j) == label ? gradient - at_target : gradient;
  });
}

}  // namespace

void cross_entropy_forward_with_grad(Tensor& row_loss, Tensor& dlogits, const Tensor& logits,
                                     const Tensor& labels, const CrossEntropyOptions& options) {
  const std::int64_t N = logits.dim(0);
  if (N == 0) return;
  Tensor counted;
  const gpu::MeanScale mean = gpu::mean_scale(counted, options.mean_over, labels, N);
  gpu::visit_gpu_floating("cross_entropy", logits.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{logits.data<T>()},
                    dlogits.defined() ? dlogits.data<T>() : nullptr,
                    N,
                    static_cast<int>(logits.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("cross_entropy", N), cross_entropy_kernel<Rows, Args>,
                  row_loss.data<float>(), args, labels.data<std::int32_t>(), mean,
                  static_cast<float>(options.label_smoothing));
    });
  });
}

}  // namespace limbeck::cuda
