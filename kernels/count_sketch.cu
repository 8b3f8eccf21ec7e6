// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/count_sketch.h>

#include <limbeck/kernels/sketch.cuh>

namespace limbeck::cuda {
namespace {

using gpu::Four;
using gpu::kFour;
using gpu::kFourThreads;

constexpr int kOwn = 4;                      // buckets per thread
constexpr int kGroup = kOwn * kFourThreads;  // buckets per block

/// A block takes four rows and 1024 buckets; reads N*D elements per 1024 buckets, writes N*K.
template <class T>
LIMBECK_KERNEL count_sketch_forward_kernel(gpu::FourRows<T> y, gpu::FourRows<const T> x,
                                           gpu::SketchTables tables) {
  LIMBECK_SHARED_ALIGNED(16, Four, tile, [gpu::kStage]);
  x.first = y.first = gpu::first_row();
  gpu::BucketWalk walk[kOwn];
  LIMBECK_UNROLL
  for (int i = 0; i < kOwn; ++i)
    walk[i].bucket =
        static_cast<int>(blockIdx.y) * kGroup + i * kFourThreads + static_cast<int>(threadIdx.x);
  gpu::for_each_stage(tile, x, [&](int begin, int end) {
    LIMBECK_UNROLL
    for (int i = 0; i < kOwn; ++i) walk[i].add(tables, tile, begin, end, 1.0f);
  });
  LIMBECK_UNROLL
  for (int i = 0; i < kOwn; ++i) {
    LIMBECK_UNROLL
    for (int r = 0; r < kFour; ++r)
      if (walk[i].bucket < tables.K && y.holds(r)) *y.at(r, walk[i].bucket) = T(walk[i].sum.row[r]);
  }
}

/// A block takes four rows; reads N*K elements, writes N*D.
template <class T>
LIMBECK_KERNEL count_sketch_backward_kernel(gpu::FourRows<T> dx, gpu::FourRows<const T> dy,
                                            gpu::SketchTables tables) {
  LIMBECK_DYNAMIC_SHARED(Four, code);
  dx.first = dy.first = gpu::first_row();
  gpu::load_four(code, dy, 0, tables.K);
  gpu::sync_block();
  gpu::store_four(dx, [&](int d) {
    Four sum = {};
    gpu::add_from_bucket(sum, code, tables.target[d], 1.0f);
    return sum;
  });
}

}  // namespace

void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("count_sketch_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    const dim3 grid(gpu::blocks_for(x.dim(0), kFour), gpu::blocks_for(plan.K, kGroup));
    gpu::launch({"count_sketch_forward", grid, kFourThreads}, count_sketch_forward_kernel<T>,
                gpu::four_rows<T>(y), gpu::four_rows<const T>(x), gpu::sketch_tables(plan));
  });
}

void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan) {
  if (dx.numel() == 0) return;
  gpu::visit_gpu_floating("count_sketch_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    const std::size_t bytes = gpu::four_slots(plan.K) * sizeof(Four);
    gpu::launch({"count_sketch_backward", gpu::blocks_for(dx.dim(0), kFour), kFourThreads, bytes},
                count_sketch_backward_kernel<T>, gpu::four_rows<T>(dx), gpu::four_rows<const T>(dy),
                gpu::sketch_tables(plan));
  });
}

}  // namespace limbeck::cuda
