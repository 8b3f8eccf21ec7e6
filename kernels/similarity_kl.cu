// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/similarity_kl.h>

#include <limbeck/kernels/similarity_terms.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

/// A warp or a block per row; reads 2*N*N and writes N*N elements; rows longer than 1024 are read
/// three times.
template <class Rows, class Args>
LIMBECK_KERNEL similarity_kl_kernel(Args args, float* row_loss) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const int self = static_cast<int>(row);
  float sum[2] = {0, 0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j) {
      if (!p.holds(j) || p.column(j) == self) continue;
      sum[0] += similarity(p.z[0][j]);
      sum[1] += similarity(p.z[1][j]);
    }
  });
  rows.reduce(sum, gpu::Sum{});
  const float inverse_s = 1.0f / sum[0], inverse_t = 1.0f / sum[1];
  const auto log_ratio = [&](const auto& p, int j) {
    return math::log(similarity(p.z[1][j]) * inverse_t / (similarity(p.z[0][j]) * inverse_s));
  };
  float loss[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && p.column(j) != self)
        loss[0] += similarity(p.z[1][j]) * inverse_t * excess(log_ratio(p, j));
  });
  rows.reduce(loss, gpu::Sum{});
  if (rows.leader()) row_loss[row] = loss[0];
  if (!args.out) return;
  const float slope = -0.5f * inverse_s / static_cast<float>(args.columns);
  rows.write([&](const auto& p, int j) {
    const bool fixed =
        p.column(j) == self || similarity(p.z[0][j]) == static_cast<float>(kLeastSimilarity);
    return fixed ? 0.0f : slope * math::expm1(log_ratio(p, j));
  });
}

}  // namespace

void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher) {
  using Args = gpu::RowsArgs<float, 2>;
  const std::int64_t N = student.dim(0);
  const Args args{{student.data<float>(), teacher.data<float>()},
                  dgram.defined() ? dgram.data<float>() : nullptr,
                  N,
                  static_cast<int>(N)};
  gpu::visit_rows<float, 2>(N, [&]<class Rows>(TypeTag<Rows>) {
    gpu::launch(gpu::rows_launch<Rows>("similarity_kl", N), similarity_kl_kernel<Rows, Args>, args,
                row_loss.data<float>());
  });
}

}  // namespace limbeck::cuda
