// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rotary.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

/// One thread per pair; neighbouring threads are neighbouring elements of both halves. Reads and
/// writes every element once.
template <class T>
LIMBECK_KERNEL rotary_kernel(T* y, const T* x, const float* table, std::int64_t pairs, int steps,
                             int all_heads, int heads, int half, float sign) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= pairs) return;
  const std::int64_t head = i / half, step = head / all_heads;
  const int d = static_cast<int>(i - head * half), h = static_cast<int>(head - step * all_heads);
  const std::int64_t at = 2 * head * half + d;
  float a = x[at], b = x[at + half];
  if (h < heads) {
    const float* row = table + step % steps * 2 * half;
    const float c = row[d], s = sign * row[half + d], turned = math::fma(c, a, -(s * b));
    b = math::fma(c, b, s * a);
    a = turned;
  }
  y[at] = T(a);
  y[at + half] = T(b);
}

}  // namespace

void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads,
            Rotation rotation) {
  const std::int64_t pairs = x.numel() / 2;
  if (pairs == 0) return;
  gpu::visit_gpu_floating("rotary", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"rotary", gpu::blocks_for(pairs, 256), 256}, rotary_kernel<T>, y.data<T>(),
                x.data<T>(), table.data<float>(), pairs, static_cast<int>(x.dim(1)),
                static_cast<int>(x.dim(2)), static_cast<int>(heads), static_cast<int>(x.dim(3) / 2),
                rotation == Rotation::forward ? 1.0f : -1.0f);
  });
}

}  // namespace limbeck::cuda
