// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the Walsh-Hadamard transform of a row, bit of the index after bit, lowest first.
#pragma once

#include <cstdint>
#include <utility>

#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {

/// One butterfly within a vector: partners are kStep lanes apart.
template <class F, int kStep, int... I>
[[gnu::always_inline]] inline void butterfly_lanes(typename Vector<F, sizeof...(I)>::type& v,
                                                   std::integer_sequence<int, I...>) {
  using V = typename Vector<F, sizeof...(I)>::type;
  const V sign = {((I & kStep) != 0 ? F(-1) : F(1))...};
  const V partner = __builtin_shufflevector(v, v, (I ^ kStep)...);
  v = partner + v * sign;
}

/// The bits below kWidth of elements [0, P), or to the end of the last vector.
template <class F, int kWidth>
[[gnu::always_inline]] inline void hadamard_in_vectors(F* x, std::int64_t P) {
  using V = typename Vector<F, kWidth>::type;
  constexpr auto kLanes = std::make_integer_sequence<int, kWidth>();
  for (std::int64_t i = 0; i < P; i += kWidth) {
    V v;
    __builtin_memcpy(&v, x + i, sizeof(V));
    if (P > 1) butterfly_lanes<F, 1>(v, kLanes);
    if constexpr (kWidth > 2)
      if (P > 2) butterfly_lanes<F, 2>(v, kLanes);
    if constexpr (kWidth > 4)
      if (P > 4) butterfly_lanes<F, 4>(v, kLanes);
    if constexpr (kWidth > 8)
      if (P > 8) butterfly_lanes<F, 8>(v, kLanes);
    __builtin_memcpy(x + i, &v, sizeof(V));
  }
}

/// The bits step, 2 step, ... below kRadix * step, in one pass; step >= kWidth.
template <class F, int kWidth, int kRadix>
[[gnu::always_inline]] inline void hadamard_pass(F* x, std::int64_t P, std::int64_t step) {
  using V = typename Vector<F, kWidth>::type;
  for (std::int64_t block = 0; block < P; block += kRadix * step)
    for (std::int64_t i = block; i < block + step; i += kWidth) {
      V v[kRadix];
#pragma GCC unroll 8
      for (int r = 0; r < kRadix; ++r) __builtin_memcpy(&v[r], x + i + r * step, sizeof(V));
#pragma GCC unroll 3
      for (int bit = 1; bit < kRadix; bit *= 2)
#pragma GCC unroll 8
        for (int r = 0; r < kRadix; ++r) {
          if ((r & bit) != 0) continue;
          const V a = v[r], b = v[r + bit];
          v[r] = a + b;
          v[r + bit] = a - b;
        }
#pragma GCC unroll 8
      for (int r = 0; r < kRadix; ++r) __builtin_memcpy(x + i + r * step, &v[r], sizeof(V));
    }
}

/// x (P) = H x, not normalised; P is a power of two, and x has room for a multiple of kWidth.
template <class F, int kWidth>
[[gnu::always_inline]] inline void hadamard(F* x, std::int64_t P) {
  hadamard_in_vectors<F, kWidth>(x, P);
  std::int64_t step = kWidth;
  for (; 8 * step <= P; step *= 8) hadamard_pass<F, kWidth, 8>(x, P, step);
  if (4 * step == P) hadamard_pass<F, kWidth, 4>(x, P, step);
  if (2 * step == P) hadamard_pass<F, kWidth, 2>(x, P, step);
}

}  // namespace limbeck::cpu
