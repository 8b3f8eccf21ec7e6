// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/row_squares.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

/// A warp or a block per row; reads N*C elements.
template <class Rows, class Args>
LIMBECK_KERNEL row_squares_forward_kernel(Args args, float* q) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  float sum[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) sum[0] = math::fma(p.z[0][j], p.z[0][j], sum[0]);
  });
  rows.reduce(sum, gpu::Sum{});
  if (rows.leader()) q[row] = sum[0];
}

/// Reads and writes N*C elements.
template <class Rows, class Args>
LIMBECK_KERNEL row_squares_backward_kernel(Args args, const float* dq) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const float twice = 2 * dq[row];
  rows.write([&](const auto& p, int j) { return twice * p.z[0][j]; });
}

}  // namespace

void row_squares_forward(Tensor& q, const Tensor& x) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("row_squares_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{x.data<T>()}, nullptr, x.dim(0), static_cast<int>(x.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("row_squares_forward", args.rows),
                  row_squares_forward_kernel<Rows, Args>, args, q.data<float>());
    });
  });
}

void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("row_squares_backward", x.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{x.data<T>()}, dx.data<T>(), x.dim(0), static_cast<int>(x.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("row_squares_backward", args.rows),
                  row_squares_backward_kernel<Rows, Args>, args, dq.data<float>());
    });
  });
}

}  // namespace limbeck::cuda
