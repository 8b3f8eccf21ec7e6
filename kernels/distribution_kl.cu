// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/distribution_kl.h>

#include <limbeck/kernels/distribution_functions.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kBlockRows = 4;  // a warp each

template <class T>
struct Operand {
  const T* at;
  bool one;
  LIMBECK_DEVICE float operator[](std::int64_t i) const {
    return static_cast<float>(at[one ? 0 : i]);
  }
};

template <class T>
struct Args {
  Operand<T> m1, s1, m2, s2;
  T *dm1, *ds1, *dm2, *ds2;  // or null
  float* row_loss;           // or null
  std::int64_t R;
  int C;
  float k, scale;  // of the gradients, of the loss
};

template <class T>
LIMBECK_DEVICE void put(T* to, std::int64_t i, float value) {
  if (to) to[i] = T(value);
}

/// A warp per row; reads each operand once and writes each gradient.
template <DistributionKl kKind, class T>
LIMBECK_KERNEL distribution_kl_kernel(Args<T> args) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kBlockRows + gpu::warp();
  if (row >= args.R) return;
  float sum[1] = {0};
  for (int c = gpu::lane(); c < args.C; c += gpu::kWarp) {
    const std::int64_t i = row * args.C + c;
    const KlElement<float> e = kl_element<kKind>(args.m1[i], args.s1[i], args.m2[i], args.s2[i]);
    sum[0] += e.kl;
    put(args.dm1, i, e.m1 * args.k);
    put(args.ds1, i, e.s1 * args.k);
    put(args.dm2, i, e.m2 * args.k);
    put(args.ds2, i, e.s2 * args.k);
  }
  gpu::warp_reduce(sum, gpu::Sum{});
  if (gpu::lane() == 0 && args.row_loss) args.row_loss[row] = sum[0] * args.scale;
}

template <class T>
Operand<T> operand(const Tensor& t, const Tensor& mean) {
  return {t.data<T>(), t.numel() == 1 && mean.numel() != 1};
}

}  // namespace

void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q,
                                       const DistributionKlOptions& options) {
  const std::int64_t R = p.mean.dim(0), C = p.mean.dim(1);
  if (R == 0) return;
  const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(R);
  gpu::visit_gpu_floating("distribution_kl", p.mean.dtype(), [&]<class T>(TypeTag<T>) {
    const Args<T> args{operand<T>(p.mean, p.mean),
                       operand<T>(p.log_scale, p.mean),
                       operand<T>(q.mean, q.mean),
                       operand<T>(q.log_scale, q.mean),
                       data_or_null<T>(out.dp.mean),
                       data_or_null<T>(out.dp.log_scale),
                       data_or_null<T>(out.dq.mean),
                       data_or_null<T>(out.dq.log_scale),
                       data_or_null<float>(out.row_loss),
                       R,
                       static_cast<int>(C),
                       static_cast<float>(1 / (static_cast<double>(C) * rows)),
                       static_cast<float>(1 / static_cast<double>(C))};
    visit_distribution_kl(options.kind, [&](auto kind) {
      gpu::launch({"distribution_kl", gpu::blocks_for(R, kBlockRows), kBlockRows * gpu::kWarp},
                  distribution_kl_kernel<kind.value, T>, args);
    });
  });
}

}  // namespace limbeck::cuda
