// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gram_compare.h>

#include <limbeck/kernels/gram_polynomial.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

/// A warp or a block per row; reads 2*N*M and writes N*M elements; rows longer than 1024 are read
/// twice. sums (2,N) = those over each row of (k(s) - k(t))^2 and of k(t)^2.
template <class Rows, class Args, class K>
LIMBECK_KERNEL gram_compare_kernel(Args args, float* sums, K k, float slope) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  float sum[2] = {0, 0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j) {
      if (!p.holds(j)) continue;
      const float target = k.at(p.z[1][j]).value;
      const float error = k.at(p.z[0][j]).value - target;
      sum[0] += error * error;
      sum[1] = math::fma(target, target, sum[1]);
    }
  });
  rows.reduce(sum, gpu::Sum{});
  if (rows.leader()) {
    sums[row] = sum[0];
    sums[args.rows + row] = sum[1];
  }
  if (!args.out) return;
  rows.write([&](const auto& p, int j) {
    const auto point = k.at(p.z[0][j]);
    return (point.value - k.at(p.z[1][j]).value) * point.slope * slope;
  });
}

constexpr int kFinishThreads = 256;

/// One block: loss and scale from the sums of N rows.
LIMBECK_KERNEL gram_compare_finish_kernel(float* loss, float* scale, const float* sums,
                                          std::int64_t N, float count, bool relative) {
  float sum[2] = {0, 0};
  for (std::int64_t n = threadIdx.x; n < N; n += kFinishThreads) {
    sum[0] += sums[n];
    sum[1] += sums[N + n];
  }
  gpu::block_reduce<kFinishThreads>(sum, gpu::Sum{});
  if (threadIdx.x != 0) return;
  const float divisor = relative && sum[1] != 0 ? sum[1] : count;
  *loss = sum[0] / divisor;
  *scale = count / divisor;
}

}  // namespace

void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options) {
  const std::int64_t N = student.dim(0), M = student.dim(1);
  const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(N);
  const float count = static_cast<float>(rows * static_cast<double>(M));
  Tensor sums = Tensor::empty({2, N}, DType::f32, student.device());
  gpu::visit_gpu_floating("gram_compare", student.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 2>;
    const Args args{{student.data<T>(), teacher.data<T>()},
                    out.dgram.defined() ? out.dgram.data<T>() : nullptr,
                    N,
                    static_cast<int>(M)};
    visit_gram_polynomial<float>(options.coefficients, [&]<class K>(const K& k) {
      gpu::visit_rows<T, 2>(M, [&]<class Rows>(TypeTag<Rows>) {
        gpu::launch(gpu::rows_launch<Rows>("gram_compare", N), gram_compare_kernel<Rows, Args, K>,
                    args, sums.data<float>(), k, 2.0f / count);
      });
    });
  });
  gpu::launch({"gram_compare_finish", 1, kFinishThreads}, gram_compare_finish_kernel,
              out.loss.data<float>(), out.scale.data<float>(), sums.data<float>(), N, count,
              options.relative);
}

}  // namespace limbeck::cuda
