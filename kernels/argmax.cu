// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/argmax.h>

#include <limbeck/kernels/order_key.cuh>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

/// Reads N*V elements once.
template <class Rows, class Args>
LIMBECK_KERNEL argmax_rows_kernel(std::int32_t* index, Args args) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  gpu::Key best[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) best[0] = gpu::Max{}(best[0], gpu::order_key(p.z[0][j], p.column(j)));
  });
  rows.reduce(best, gpu::Max{});
  if (rows.leader()) index[row] = gpu::column_of(best[0]);
}

constexpr int kCountThreads = 1024;

/// One block: labels of an evaluation batch are few.
LIMBECK_KERNEL count_equal_kernel(std::int64_t* count, const std::int32_t* a, const std::int32_t* b,
                                  std::int64_t n) {
  long long equal[1] = {0};
  for (std::int64_t i = threadIdx.x; i < n; i += kCountThreads) equal[0] += a[i] == b[i];
  gpu::block_reduce<kCountThreads>(equal, gpu::Sum{});
  if (threadIdx.x == 0) *count = equal[0];
}

}  // namespace

void argmax_rows(Tensor& index, const Tensor& x) {
  if (index.numel() == 0) return;
  gpu::visit_gpu_floating("argmax_rows", x.dtype(), [&]<class T>(TypeTag<T>) {
    const gpu::RowsArgs<T, 1> args{{x.data<T>()}, nullptr, x.dim(0), static_cast<int>(x.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::launch(gpu::rows_launch<Rows>("argmax_rows", args.rows),
                  argmax_rows_kernel<Rows, gpu::RowsArgs<T, 1>>, index.data<std::int32_t>(), args);
    });
  });
}

void count_equal(Tensor& count, const Tensor& a, const Tensor& b) {
  gpu::launch({"count_equal", 1, kCountThreads}, count_equal_kernel, count.data<std::int64_t>(),
              a.data<std::int32_t>(), b.data<std::int32_t>(), a.numel());
}

}  // namespace limbeck::cuda
