// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_rows.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

constexpr float kSmallestNormal = 0x1p-126f;

/// A warp or a block per row; reads and writes N*D elements; rows longer than 1024 are read twice.
template <class Rows, class Args>
LIMBECK_KERNEL unit_rows_forward_kernel(Args args, float* norm) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  float squares[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) squares[0] = math::fma(p.z[0][j], p.z[0][j], squares[0]);
  });
  rows.reduce(squares, gpu::Sum{});
  const float length = squares[0] < kSmallestNormal ? 0.0f : math::sqrt(squares[0]);
  const float inverse = length > 0 ? 1.0f / length : length;
  rows.write([&](const auto& p, int j) { return p.z[0][j] * inverse; });
  if (rows.leader()) norm[row] = length;
}

/// As the forward, of two inputs, dy and y.
template <class Rows, class Args>
LIMBECK_KERNEL unit_rows_backward_kernel(Args args, const float* norm) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  float along[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) along[0] = math::fma(p.z[0][j], p.z[1][j], along[0]);
  });
  rows.reduce(along, gpu::Sum{});
  const float inverse = norm[row] == 0 ? 0.0f : 1.0f / norm[row];
  rows.write(
      [&](const auto& p, int j) { return math::fma(-p.z[1][j], along[0], p.z[0][j]) * inverse; });
}

}  // namespace

void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("unit_rows_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{x.data<T>()}, y.data<T>(), x.dim(0), static_cast<int>(x.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("unit_rows_forward", args.rows),
                  unit_rows_forward_kernel<Rows, Args>, args, norm.data<float>());
    });
  });
}

void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("unit_rows_backward", y.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 2>;
    const Args args{
        {dy.data<T>(), y.data<T>()}, dx.data<T>(), y.dim(0), static_cast<int>(y.dim(1))};
    gpu::visit_rows<T, 2>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("unit_rows_backward", args.rows),
                  unit_rows_backward_kernel<Rows, Args>, args, norm.data<float>());
    });
  });
}

}  // namespace limbeck::cuda
