// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_columns.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr float kSmallestNormal = 0x1p-126f;
constexpr int kColumnThreads = 8;  // that share a column

struct Columns {
  int P, C;
  LIMBECK_DEVICE int column() const {
    return static_cast<int>(blockIdx.x * gpu::kWarp + threadIdx.x);
  }
  /// Element (p, column) of sample blockIdx.y.
  LIMBECK_DEVICE std::int64_t at(int p) const {
    return (std::int64_t{blockIdx.y} * P + p) * C + column();
  }
  LIMBECK_DEVICE std::int64_t norm() const { return std::int64_t{blockIdx.y} * C + column(); }
};

/// The sum over p of a_p b_p in the thread's column; all of the block must call.
template <class T>
LIMBECK_DEVICE float column_dot(const T* a, const T* b, const Columns& x) {
  LIMBECK_SHARED(float, partial, [kColumnThreads][gpu::kWarp]);
  float sum = 0;
  for (int p = static_cast<int>(threadIdx.y); x.column() < x.C && p < x.P; p += kColumnThreads)
    sum = math::fma(static_cast<float>(a[x.at(p)]), static_cast<float>(b[x.at(p)]), sum);
  partial[threadIdx.y][threadIdx.x] = sum;
  gpu::sync_block();
  sum = 0;
  for (int i = 0; i < kColumnThreads; ++i) sum += partial[i][threadIdx.x];
  return sum;
}

/// Block (32,8) for 32 columns of a sample: neighbouring threads read neighbouring columns. Reads x
/// twice, mostly from L2, and writes y.
template <class T>
LIMBECK_KERNEL unit_columns_forward_kernel(T* y, float* norm, const T* in, Columns x) {
  const float squares = column_dot(in, in, x);
  if (x.column() >= x.C) return;
  const float length = squares < kSmallestNormal ? 0.0f : math::sqrt(squares);
  const float inverse = length > 0 ? 1.0f / length : length;
  for (int p = static_cast<int>(threadIdx.y); p < x.P; p += kColumnThreads)
    y[x.at(p)] = T(static_cast<float>(in[x.at(p)]) * inverse);
  if (threadIdx.y == 0) norm[x.norm()] = length;
}

/// As the forward, of two inputs.
template <class T>
LIMBECK_KERNEL unit_columns_backward_kernel(T* dx, const T* dy, const T* y, const float* norm,
                                            Columns x) {
  const float along = column_dot(dy, y, x);
  if (x.column() >= x.C) return;
  const float length = norm[x.norm()], inverse = length == 0 ? 0.0f : 1.0f / length;
  for (int p = static_cast<int>(threadIdx.y); p < x.P; p += kColumnThreads) {
    const std::int64_t i = x.at(p);
    dx[i] = T(math::fma(-static_cast<float>(y[i]), along, static_cast<float>(dy[i])) * inverse);
  }
}

gpu::Launch launch_for(const char* name, const Tensor& x) {
  return {name, dim3(gpu::blocks_for(x.dim(2), gpu::kWarp), static_cast<unsigned>(x.dim(0))),
          dim3(gpu::kWarp, kColumnThreads)};
}

Columns columns_of(const Tensor& x) {
  return {static_cast<int>(x.dim(1)), static_cast<int>(x.dim(2))};
}

}  // namespace

void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  if (x.numel() == 0) return;
  gpu::visit_gpu_floating("unit_columns_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(launch_for("unit_columns_forward", x), unit_columns_forward_kernel<T>, y.data<T>(),
                norm.data<float>(), x.data<T>(), columns_of(x));
  });
}

void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("unit_columns_backward", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(launch_for("unit_columns_backward", y), unit_columns_backward_kernel<T>,
                dx.data<T>(), dy.data<T>(), y.data<T>(), norm.data<float>(), columns_of(y));
  });
}

}  // namespace limbeck::cuda
