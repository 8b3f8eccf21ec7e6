// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: transposition in registers.
#pragma once

#include <cstdint>
#include <utility>

namespace limbeck::cpu {

/// N values of T in one vector register.
template <class T, int N>
struct Vector {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

/// The first (kHalf = 0) or second halves of a and b, interleaved. By reference: vectors wider than
/// the baseline's have no calling convention of their own.
template <int N, int kHalf, class V, int... I>
[[gnu::always_inline]] inline void interleave(V& out, const V& a, const V& b,
                                              std::integer_sequence<int, I...>) {
  out = __builtin_shufflevector(a, b, (I / 2 + I % 2 * N + kHalf * N / 2)...);
}

/// to[k * to_row + i] = from[i * from_row + k] for i, k in [0, N), N a power of two. Interleaving
/// row i with row i + N/2 moves one bit of the row index into the column index; log2(N) times swaps
/// the two.
template <class T, int N>
[[gnu::always_inline]] inline void transpose_square(T* to, std::int64_t to_row, const T* from,
                                                    std::int64_t from_row) {
  using V = typename Vector<T, N>::type;
  constexpr auto kLanes = std::make_integer_sequence<int, N>();
  V row[N], next[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) __builtin_memcpy(&row[i], from + i * from_row, sizeof(V));
#pragma GCC unroll 4
  for (int width = 1; width < N; width *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < N / 2; ++i) {
      interleave<N, 0>(next[2 * i], row[i], row[i + N / 2], kLanes);
      interleave<N, 1>(next[2 * i + 1], row[i], row[i + N / 2], kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) row[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) __builtin_memcpy(to + i * to_row, &row[i], sizeof(V));
}

}  // namespace limbeck::cpu
