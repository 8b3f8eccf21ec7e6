// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/cast.h>

#include <limbeck/core/gpu.h>

namespace limbeck::cuda {
namespace {

constexpr int kLanes = 8;
constexpr unsigned kThreads = 256;

template <class T>
struct Lanes {
  T lane[kLanes];
};
template <class T>
struct Packs {
  gpu::Pack16 pack[sizeof(Lanes<T>) / 16];
};

/// One thread per 8 elements: 16 bytes at a time where both sides are aligned to them.
template <class To, class From>
LIMBECK_KERNEL cast_kernel(To* y, const From* x, std::int64_t n, bool aligned) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t first = thread * kLanes;
  if (!aligned || first + kLanes > n) {
    for (std::int64_t i = first; i < first + kLanes && i < n; ++i)
      y[i] = To(static_cast<float>(x[i]));
    return;
  }
  Packs<From> in;
  int at = 0;
  for (gpu::Pack16& pack : in.pack)
    pack = gpu::load16(reinterpret_cast<const char*>(x + first) + 16 * at++);
  const auto from = __builtin_bit_cast(Lanes<From>, in);
  Lanes<To> to;
  for (int i = 0; i < kLanes; ++i) to.lane[i] = To(static_cast<float>(from.lane[i]));
  const auto out = __builtin_bit_cast(Packs<To>, to);
  at = 0;
  for (const gpu::Pack16& pack : out.pack)
    gpu::store16(reinterpret_cast<char*>(y + first) + 16 * at++, pack);
}

bool has_kernel(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

/// Calls fn(TypeTag<T>{}) for a dtype that has kernels.
template <class Fn>
void visit(DType dtype, Fn fn) {
  if (dtype == DType::f32)
    fn(TypeTag<float>{});
  else if (dtype == DType::bf16)
    fn(TypeTag<BFloat16>{});
  else
    fn(TypeTag<Float16>{});
}

bool is_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

}  // namespace

void cast(Tensor& y, const Tensor& x) {
  if (!has_kernel(x.dtype()) || !has_kernel(y.dtype()))
    return y.copy_from(x.to(Device::cpu()).to(y.dtype()));
  const std::int64_t n = y.numel(), per_block = kLanes * kThreads;
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>((n + per_block - 1) / per_block);
  visit(y.dtype(), [&]<class To>(TypeTag<To>) {
    visit(x.dtype(), [&]<class From>(TypeTag<From>) {
      if constexpr (!std::is_same_v<To, From>)
        gpu::launch({"cast", blocks, kThreads}, cast_kernel<To, From>, y.data<To>(), x.data<From>(),
                    n, is_aligned(y.raw()) && is_aligned(x.raw()));
    });
  });
}

}  // namespace limbeck::cuda
