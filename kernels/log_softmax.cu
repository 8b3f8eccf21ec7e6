// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/log_softmax.h>

#include <limbeck/kernels/row_softmax.cuh>

namespace limbeck::cuda {
namespace {

/// Reads and writes N*V elements; rows longer than 1024 are read twice.
template <class Rows, class Args>
LIMBECK_KERNEL log_softmax_forward_kernel(Args args, float inv_tau) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const gpu::LogSumExp lse = gpu::log_sum_exp(rows, inv_tau);
  rows.write(
      [&](const auto& p, int j) { return math::fma(p.z[0][j] - lse.max, inv_tau, -lse.log_sum); });
}

/// As the forward, of two inputs: dy and y.
template <class Rows, class Args>
LIMBECK_KERNEL log_softmax_backward_kernel(Args args, float inv_tau) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  float sum[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) sum[0] += p.z[0][j];
  });
  rows.reduce(sum, gpu::Sum{});
  rows.write([&](const auto& p, int j) {
    return math::fma(-math::exp(p.z[1][j]), sum[0], p.z[0][j]) * inv_tau;
  });
}

/// (N,V) of a tensor whose last dimension is V.
template <class T, int kInputs>
gpu::RowsArgs<T, kInputs> rows_args(Tensor& out) {
  gpu::RowsArgs<T, kInputs> args{};
  const std::int64_t V = out.dim(-1);
  args.out = out.data<T>();
  args.rows = out.numel() / V;
  args.columns = static_cast<int>(V);
  return args;
}

}  // namespace

void log_softmax_forward(Tensor& y, const Tensor& x, double tau) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("log_softmax", y.dtype(), [&]<class T>(TypeTag<T>) {
    auto args = rows_args<T, 1>(y);
    args.in[0] = x.data<T>();
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("log_softmax_forward", args.rows),
                  log_softmax_forward_kernel<Rows, decltype(args)>, args,
                  static_cast<float>(1 / tau));
    });
  });
}

void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("log_softmax", y.dtype(), [&]<class T>(TypeTag<T>) {
    auto args = rows_args<T, 2>(dx);
    args.in[0] = dy.data<T>();
    args.in[1] = y.data<T>();
    gpu::visit_rows<T, 2>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("log_softmax_backward", args.rows),
                  log_softmax_backward_kernel<Rows, decltype(args)>, args,
                  static_cast<float>(1 / tau));
    });
  });
}

}  // namespace limbeck::cuda
