// SPDX-License-Identifier: Apache-2.0
// A block has 32 neighbouring columns of a slab of rows, 8 threads to a column: a row is summed
// along a warp, a column across the block's 8. Slabs depend on the shape only, and all sums are
// finished in an order fixed by the index.
#include <limbeck/kernels/likelihood_loss.h>

#include <algorithm>

#include <limbeck/kernels/likelihood_functions.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/reduce.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kRowLanes = 8;            // threads that share a column
constexpr std::int64_t kMinSlab = 128;  // rows
constexpr std::int64_t kMaxSlabs = 256;
constexpr int kFinishThreads = 128;

template <class T>
struct Args {
  const T *mu, *t;                     // (R,C)
  T* dmu;                              // (R,C) or null
  const float *rho_v, *rho_b, *kappa;  // (C), null where a kind lacks it
  float* row_sums;                     // (column blocks, R) of -log p
  float* column_sums;                  // (3, slabs, C) of the parameters' gradients
  const float* upstream;               // or null
  std::int64_t R, slab;
  int C, slabs;
  double scale;  // 1 / (C mean_over)
};

LIMBECK_DEVICE float at_or_zero(const float* x, int i) { return x ? x[i] : 0.0f; }

/// Sums value[k] over a column's threads and writes them for the block's slab.
template <class T>
LIMBECK_DEVICE void store_columns(const float (&value)[3], const Args<T>& args, int c) {
  LIMBECK_SHARED(float, partial, [3][kRowLanes][gpu::kWarp]);
  for (int k = 0; k < 3; ++k) partial[k][threadIdx.y][threadIdx.x] = value[k];
  gpu::sync_block();
  if (threadIdx.y != 0 || c >= args.C) return;
  for (int k = 0; k < 3; ++k) {
    float sum = 0;
    for (int lane = 0; lane < kRowLanes; ++lane) sum += partial[k][lane][threadIdx.x];
    args.column_sums[(std::int64_t{k} * args.slabs + blockIdx.y) * args.C + c] = sum;
  }
}

/// Reads mu and t, writes dmu; 1/32 of that more for the rows' sums.
template <Likelihood kKind, bool kLoss, bool kGrad, class T>
LIMBECK_KERNEL likelihood_loss_kernel(Args<T> args) {
  const int c = static_cast<int>(blockIdx.x * gpu::kWarp + threadIdx.x);
  const bool present = c < args.C;
  const int column = present ? c : 0;
  const float upstream = args.upstream ? *args.upstream : 1.0f;
  const auto k = static_cast<float>(static_cast<double>(upstream) * args.scale);
  const auto channel =
      likelihood_channel<kKind>(at_or_zero(args.rho_v, column), at_or_zero(args.rho_b, column),
                                at_or_zero(args.kappa, column), k);
  float sum[3] = {0, 0, 0};
  const std::int64_t begin = blockIdx.y * args.slab;
  const std::int64_t end = begin + args.slab < args.R ? begin + args.slab : args.R;
  for (std::int64_t r = begin + threadIdx.y; r < end; r += kRowLanes) {
    const std::int64_t i = r * args.C + column;
    float residual = 0;  // an absent column reads nothing: what it would read may be dmu already
    if (present) residual = static_cast<float>(args.t[i]) - static_cast<float>(args.mu[i]);
    const auto e = likelihood_element<kKind, kLoss>(residual, channel, k);
    if (kGrad && present && args.dmu) args.dmu[i] = T(e.dmu);
    sum[0] = math::fma(channel.step_v, e.v, sum[0]);
    sum[1] = math::fma(channel.step_b, e.b, sum[1]);
    sum[2] = math::fma(-k, e.kappa, sum[2]);
    if constexpr (kLoss) {
      float loss[1] = {present ? e.loss : 0.0f};
      gpu::warp_reduce(loss, gpu::Sum{});
      if (threadIdx.x == 0) args.row_sums[blockIdx.x * args.R + r] = loss[0];
    }
  }
  if constexpr (kGrad) store_columns(sum, args, c);
}

/// One thread per row: adds up the column blocks' sums.
LIMBECK_KERNEL likelihood_rows_kernel(float* row_loss, const float* row_sums, std::int64_t R,
                                      unsigned blocks, float scale) {
  const std::int64_t r = std::int64_t{blockIdx.x} * kFinishThreads + threadIdx.x;
  if (r >= R) return;
  float sum = 0;
  for (unsigned b = 0; b < blocks; ++b) sum += row_sums[b * R + r];
  row_loss[r] = sum * scale;
}

template <class T>
void launch(Likelihood kind, bool loss, bool grad, const Args<T>& args) {
  const gpu::Launch how{
      "likelihood_loss",
      dim3(gpu::blocks_for(args.C, gpu::kWarp), static_cast<unsigned>(args.slabs)),
      dim3(gpu::kWarp, kRowLanes)};
  visit_likelihood(kind, [&](auto k) {
    if (loss && grad)
      gpu::launch(how, likelihood_loss_kernel<k.value, true, true, T>, args);
    else if (loss)
      gpu::launch(how, likelihood_loss_kernel<k.value, true, false, T>, args);
    else
      gpu::launch(how, likelihood_loss_kernel<k.value, false, true, T>, args);
  });
}

}  // namespace

void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options, const Tensor& upstream) {
  const std::int64_t R = mu.dim(0), C = mu.dim(1);
  LikelihoodParameterGrad* grads[] = {&out.drho_v, &out.drho_b, &out.dkappa};
  const bool loss = out.row_loss.defined();
  const bool grad = out.dmu.defined() || std::any_of(std::begin(grads), std::end(grads),
                                                     [](auto* g) { return g->value.defined(); });
  if (!loss && !grad) return;
  if (R == 0) {
    for (LikelihoodParameterGrad* g : grads)
      if (g->value.defined() && g->out == Out::write) g->value.fill(0);
    return;
  }
  const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(R);
  const std::int64_t wanted = std::min(kMaxSlabs, (R + kMinSlab - 1) / kMinSlab);
  const std::int64_t slab = (R + wanted - 1) / wanted;
  const unsigned slabs = gpu::blocks_for(R, slab), blocks = gpu::blocks_for(C, gpu::kWarp);
  Tensor row_sums, column_sums;
  if (loss) row_sums = Tensor::empty({blocks, R}, DType::f32, mu.device());
  if (grad) column_sums = Tensor::empty({3, slabs, C}, DType::f32, mu.device());
  gpu::visit_gpu_floating("likelihood_loss", mu.dtype(), [&]<class T>(TypeTag<T>) {
    const Args<T> args{mu.data<T>(),
                       t.data<T>(),
                       out.dmu.defined() ? out.dmu.data<T>() : nullptr,
                       data_or_null<float>(parameters.rho_v),
                       data_or_null<float>(parameters.rho_b),
                       data_or_null<float>(parameters.kappa),
                       loss ? row_sums.data<float>() : nullptr,
                       grad ? column_sums.data<float>() : nullptr,
                       data_or_null<float>(upstream),
                       R,
                       slab,
                       static_cast<int>(C),
                       static_cast<int>(slabs),
                       1 / (static_cast<double>(C) * rows)};
    launch(options.kind, loss, grad, args);
  });
  if (loss)
    gpu::launch({"likelihood_rows", gpu::blocks_for(R, kFinishThreads), kFinishThreads},
                likelihood_rows_kernel, out.row_loss.data<float>(),
                std::as_const(row_sums).data<float>(), R, blocks,
                static_cast<float>(1.0 / static_cast<double>(C)));
  for (int i = 0; i < 3; ++i)
    if (grads[i]->value.defined())
      cuda::sum_rows(grads[i]->value, column_sums.rows(i, i + 1).reshape({slabs, C}),
                     grads[i]->out);
}

}  // namespace limbeck::cuda
