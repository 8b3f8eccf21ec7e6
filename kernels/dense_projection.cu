// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dense_projection.h>

#include <cmath>

#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/projection_epilogue.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

/// kWidth elements in registers, moved 16 bytes at a time when there are so many.
template <int kWidth>
struct Elements {
  float value[kWidth];

  template <class T>
  LIMBECK_DEVICE void load(const T* p) {
    if constexpr (kWidth == 1) {
      value[0] = static_cast<float>(*p);
    } else {
      LIMBECK_UNROLL
      for (int i = 0; i < kWidth; i += gpu::kLanes<T>) {
        const gpu::Vector<T> vector = gpu::load_vector(p + i);
        LIMBECK_UNROLL
        for (int j = 0; j < gpu::kLanes<T>; ++j) value[i + j] = static_cast<float>(vector.lane[j]);
      }
    }
  }
  template <class T>
  LIMBECK_DEVICE void store(T* p) const {
    if constexpr (kWidth == 1) {
      *p = T(value[0]);
    } else {
      static_assert(kWidth == gpu::kLanes<T>);
      gpu::Vector<T> vector;
      LIMBECK_UNROLL
      for (int j = 0; j < kWidth; ++j) vector.lane[j] = T(value[j]);
      gpu::store_vector(p, vector);
    }
  }
};

template <class T>
struct Args {
  ProjectionEpilogue epilogue;
  T* out;             // y (N,K) or (N,2K); dz (N,K)
  const float* z;     // (N,K)
  const T* dy;        // as y, backward only
  const T* y;         // (N,2K), cos_sin's backward only
  const float* mean;  // (K), standardise only
  const float* inv_std;
  std::int64_t N, K;
  float scale;  // K^-1/2
};

/// Where a thread's elements are: row n, columns k .. k + kWidth - 1.
template <int kWidth, class T>
LIMBECK_DEVICE bool find(const Args<T>& args, std::int64_t& n, std::int64_t& k) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t per_row = args.K / kWidth;
  n = thread / per_row;
  k = thread % per_row * kWidth;
  return n < args.N;
}

/// One thread per kWidth elements of z; reads N*K of them, writes y.
template <class T, int kWidth>
LIMBECK_KERNEL epilogue_kernel(Args<T> args) {
  std::int64_t n, k;
  if (!find<kWidth>(args, n, k)) return;
  Elements<kWidth> z, a, b;
  z.load(args.z + n * args.K + k);
  switch (args.epilogue) {
    case ProjectionEpilogue::none:
      break;
    case ProjectionEpilogue::standardise:
      a.load(args.mean + k);
      b.load(args.inv_std + k);
      for (int j = 0; j < kWidth; ++j) z.value[j] = (z.value[j] - a.value[j]) * b.value[j];
      break;
    case ProjectionEpilogue::square:
      for (int j = 0; j < kWidth; ++j) z.value[j] *= z.value[j];
      break;
    case ProjectionEpilogue::cos_sin:
      for (int j = 0; j < kWidth; ++j) {
        const float turn = fraction_of_turn(z.value[j]);
        a.value[j] = math::cos_2pi(turn) * args.scale;
        b.value[j] = math::sin_2pi(turn) * args.scale;
      }
      a.store(args.out + n * 2 * args.K + k);
      b.store(args.out + n * 2 * args.K + args.K + k);
      return;
  }
  z.store(args.out + n * args.K + k);
}

/// One thread per kWidth elements of dz; reads dy and what the forward saved, writes N*K.
template <class T, int kWidth>
LIMBECK_KERNEL epilogue_backward_kernel(Args<T> args) {
  std::int64_t n, k;
  if (!find<kWidth>(args, n, k)) return;
  const bool two = args.epilogue == ProjectionEpilogue::cos_sin;
  const std::int64_t at = n * args.K + k, first = two ? n * 2 * args.K + k : at;
  Elements<kWidth> d, a, b, c;
  d.load(args.dy + first);
  if (two) {
    a.load(args.y + first);
    b.load(args.y + first + args.K);
    c.load(args.dy + first + args.K);
    for (int j = 0; j < kWidth; ++j)
      d.value[j] = cos_sin_backward(a.value[j], b.value[j], d.value[j], c.value[j]);
  } else if (args.epilogue == ProjectionEpilogue::square) {
    a.load(args.z + at);
    for (int j = 0; j < kWidth; ++j) d.value[j] = 2.0f * a.value[j] * d.value[j];
  } else {
    a.load(args.inv_std + k);
    for (int j = 0; j < kWidth; ++j) d.value[j] *= a.value[j];
  }
  d.store(args.out + at);
}

template <class T>
Args<T> make_args(Tensor& out, const DenseProjection& p, std::int64_t N) {
  Args<T> args{};
  args.epilogue = p.epilogue;
  args.out = out.data<T>();
  args.mean = data_or_null<float>(p.mean);
  args.inv_std = data_or_null<float>(p.inv_std);
  args.N = N;
  args.K = p.w.dim(0);
  args.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(args.K)));
  return args;
}

template <class T>
bool aligned(const Args<T>& args) {
  return args.K % gpu::kLanes<T> == 0 &&
         (gpu::misalignment(args.out) | gpu::misalignment(args.z) | gpu::misalignment(args.dy) |
          gpu::misalignment(args.y) | gpu::misalignment(args.mean) |
          gpu::misalignment(args.inv_std)) == 0;
}

template <class T>
void launch(const char* name, void (*wide)(Args<T>), void (*narrow)(Args<T>), const Args<T>& args) {
  const std::int64_t elements = args.N * args.K;
  if (aligned(args))
    gpu::launch({name, gpu::blocks_for(elements / gpu::kLanes<T>, 256), 256}, wide, args);
  else
    gpu::launch({name, gpu::blocks_for(elements, 256), 256}, narrow, args);
}

}  // namespace

void apply_epilogue(Tensor& y, const Tensor& z, const DenseProjection& p) {
  if (z.numel() == 0) return;
  gpu::visit_gpu_floating("dense_projection", y.dtype(), [&]<class T>(TypeTag<T>) {
    Args<T> args = make_args<T>(y, p, z.dim(0));
    args.z = z.data<float>();
    launch<T>("dense_projection_epilogue", epilogue_kernel<T, gpu::kLanes<T>>,
              epilogue_kernel<T, 1>, args);
  });
}

void apply_epilogue_backward(Tensor& dz, const Tensor& dy, const Tensor& saved,
                             const DenseProjection& p) {
  if (dz.numel() == 0) return;
  gpu::visit_gpu_floating("dense_projection", dz.dtype(), [&]<class T>(TypeTag<T>) {
    Args<T> args = make_args<T>(dz, p, dz.dim(0));
    args.dy = dy.data<T>();
    if (p.epilogue == ProjectionEpilogue::cos_sin) args.y = saved.data<T>();
    if (p.epilogue == ProjectionEpilogue::square) args.z = saved.data<float>();
    launch<T>("dense_projection_epilogue_backward", epilogue_backward_kernel<T, gpu::kLanes<T>>,
              epilogue_backward_kernel<T, 1>, args);
  });
}

}  // namespace limbeck::cuda
