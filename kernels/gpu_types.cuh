// SPDX-License-Identifier: Apache-2.0
// Internal: element types as kernels handle them: the choice by dtype, 16 bytes at a time, and the
// sizes of launches.
#pragma once

#include <cstdint>

#include <limbeck/core/dtype.h>
#include <limbeck/core/gpu.h>

namespace limbeck::gpu {

/// Calls fn(TypeTag<T>{}) with float, BFloat16 or Float16; throws std::invalid_argument for others.
template <class Fn>
void visit_gpu_floating(const char* op, DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32:
      return fn(TypeTag<float>{});
    case DType::bf16:
      return fn(TypeTag<BFloat16>{});
    case DType::f16:
      return fn(TypeTag<Float16>{});
    default:
      throw std::invalid_argument(
          detail::concat(op, ": dtype ", dtype, " on a GPU; expected f32, bf16 or f16"));
  }
}

/// As many T as one access moves.
template <class T>
inline constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

template <class T>
struct alignas(16) Vector {
  T lane[kLanes<T>];
};

template <class T>
LIMBECK_DEVICE Vector<T> load_vector(const T* p) {
  return __builtin_bit_cast(Vector<T>, load16(p));
}
template <class T>
LIMBECK_DEVICE void store_vector(T* p, const Vector<T>& v) {
  store16(p, __builtin_bit_cast(Pack16, v));
}

/// Bytes by which p lies beyond a multiple of 16.
LIMBECK_HD unsigned misalignment(const void* p) {
  return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(p) & 15u);
}

/// Blocks that cover n items, `per_block` each; n >= 1.
inline unsigned blocks_for(std::int64_t n, std::int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

}  // namespace limbeck::gpu
