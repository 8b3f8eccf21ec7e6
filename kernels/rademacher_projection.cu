// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rademacher_projection.h>

#include <cmath>

#include <limbeck/kernels/rademacher_mma.cuh>
#include <limbeck/kernels/sign_product.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kFewRows = 512;  // below, a block takes fewer rows so that there are more blocks

/// One block per kRows rows and blockDim.x columns; reads N*D per 256 columns, writes N*C.
template <class Signs, int kRows, class T>
LIMBECK_KERNEL sign_product_kernel(gpu::SignProduct<T> args) {
  LIMBECK_SHARED_ALIGNED(16, float, tables, [gpu::SignTables<kRows>::kSize]);
  LIMBECK_SHARED_ALIGNED(16, std::uint32_t, bits, [Signs::kSize]);
  const std::int64_t n0 = std::int64_t{blockIdx.x} * kRows;
  const std::int64_t first = std::int64_t{blockIdx.y} * gpu::kSignThreads;
  const gpu::SignRows<T> in{args.in, args.N, args.D, args.aligned};
  Signs signs(bits);
  float acc[kRows] = {};
  gpu::add_sign_product(acc, tables, signs, in, args.matrix, n0, first);
  const std::int64_t column = first + threadIdx.x;
  if (column >= args.C) return;
  LIMBECK_UNROLL
  for (int r = 0; r < kRows; ++r)
    if (n0 + r < args.N) args.out[(n0 + r) * args.C + column] = T(acc[r] * args.scale);
}

template <class Signs, template <class> class Fragments>
void sign_product(const char* name, Tensor& out, const Tensor& in, const RademacherMatrix& matrix,
                  double scale) {
  const std::int64_t N = in.dim(0), D = in.dim(1), C = out.dim(1);
  if (N == 0) return;
  gpu::visit_gpu_floating(name, in.dtype(), [&]<class T>(TypeTag<T>) {
    const bool aligned = gpu::misalignment(in.raw()) == 0 && D % gpu::kLanes<T> == 0;
    const gpu::SignProduct<T> args{
        out.data<T>(), in.data<T>(), N, D, C, matrix, static_cast<float>(scale), aligned};
    if constexpr (sizeof(T) == 2)
      if (aligned && gpu::compute_capability() >= 80)
        return gpu::launch(
            {name, gpu::blocks_for(C, gpu::kMmaTile) * gpu::blocks_for(N, gpu::kMmaTile),
             gpu::kMmaThreads},
            gpu::sign_mma_kernel<Fragments<T>, T>, args);
    const unsigned threads =
        C < gpu::kSignThreads ? gpu::blocks_for(C, gpu::kWarp) * gpu::kWarp : gpu::kSignThreads;
    const unsigned columns = gpu::blocks_for(C, gpu::kSignThreads);
    if (N <= kFewRows)
      gpu::launch({name, {gpu::blocks_for(N, 4), columns}, threads},
                  sign_product_kernel<Signs, 4, T>, args);
    else
      gpu::launch({name, {gpu::blocks_for(N, 16), columns}, threads},
                  sign_product_kernel<Signs, 16, T>, args);
  });
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  sign_product<gpu::RowSigns, gpu::RowFragments>("rademacher_projection_forward", y, x, matrix,
                                                 1 / std::sqrt(static_cast<double>(y.dim(1))));
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  sign_product<gpu::ColumnSigns, gpu::ColumnFragments>(
      "rademacher_projection_backward", dx, dy, matrix,
      1 / std::sqrt(static_cast<double>(dy.dim(1))));
}

}  // namespace limbeck::cuda
