// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/softmax.h>

#include <limbeck/kernels/order_key.cuh>
#include <limbeck/kernels/row_softmax.cuh>

namespace limbeck::cuda {
namespace {

/// Reads and writes N*V elements; rows longer than 1024 are read twice.
template <class Rows, class Args>
LIMBECK_KERNEL softmax_forward_kernel(Args args, float inv_tau) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const gpu::LogSumExp lse = gpu::log_sum_exp(rows, inv_tau);
  const float inv_sum = 1.0f / lse.sum;
  rows.write(
      [&](const auto& p, int j) { return math::exp((p.z[0][j] - lse.max) * inv_tau) * inv_sum; });
}

LIMBECK_DEVICE unsigned bits_of(float x) { return __builtin_bit_cast(unsigned, x); }

/// dy of the row's most probable class: the bits of y, which is not negative, over those of dy.
template <class Rows>
LIMBECK_DEVICE float find_center(const Rows& rows) {
  gpu::Key best[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j))
        best[0] = gpu::Max{}(best[0], gpu::Key{bits_of(p.z[1][j])} << 32 | bits_of(p.z[0][j]));
  });
  rows.reduce(best, gpu::Max{});
  return __builtin_bit_cast(float, static_cast<unsigned>(best[0]));
}

/// As the forward, of two inputs, dy and y; rows longer than 1024 are read three times.
template <class Rows, class Args>
LIMBECK_KERNEL softmax_backward_kernel(Args args, float inv_tau) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const float center = find_center(rows);
  float dot[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) dot[0] = math::fma(p.z[1][j], p.z[0][j] - center, dot[0]);
  });
  rows.reduce(dot, gpu::Sum{});
  rows.write([&](const auto& p, int j) {
    return p.z[1][j] * (((p.z[0][j] - center) - dot[0]) * inv_tau);
  });
}

}  // namespace

void softmax_forward(Tensor& y, const Tensor& x, double tau) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("softmax_forward", y.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{x.data<T>()}, y.data<T>(), y.dim(0), static_cast<int>(y.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("softmax_forward", args.rows),
                  softmax_forward_kernel<Rows, Args>, args, static_cast<float>(1 / tau));
    });
  });
}

void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("softmax_backward", y.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 2>;
    const Args args{
        {dy.data<T>(), y.data<T>()}, dx.data<T>(), y.dim(0), static_cast<int>(y.dim(1))};
    gpu::visit_rows<T, 2>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("softmax_backward", args.rows),
                  softmax_backward_kernel<Rows, Args>, args, static_cast<float>(1 / tau));
    });
  });
}

}  // namespace limbeck::cuda
