// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: products with a matrix of signs. Four elements of a row have only 16 signed sums;
// a table of them, which AVX-512 keeps in one register, turns four multiply-adds into one lookup
// and one addition (the "four Russians": Arlazarov, Dinic, Kronrod and Faradzev, 1970).
#pragma once

#include <cstdint>
#include <type_traits>

#include <limbeck/kernels/rademacher.h>
#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {

inline constexpr int kQuadSums = 16;
/// Sums of a table by the signs of its elements: bit i of the number is set when element i is
/// subtracted.
inline constexpr int kQuadSign[4][kQuadSums] = {
    {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
    {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
    {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
    {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1}};

/// The sums of elements v. Products by 1 and -1 are exact.
template <class F>
[[gnu::always_inline]] inline void make_table(F* table, const F (&v)[4]) {
#pragma omp simd
  for (int s = 0; s < kQuadSums; ++s)
    table[s] = (v[0] * static_cast<F>(kQuadSign[0][s]) + v[1] * static_cast<F>(kQuadSign[1][s])) +
               (v[2] * static_cast<F>(kQuadSign[2][s]) + v[3] * static_cast<F>(kQuadSign[3][s]));
}

/// table[quad][s] for the quads of n elements of x, zeros appended.
template <class F, class T>
[[gnu::always_inline]] inline void make_tables(F* table, const T* x, std::int64_t n) {
  F v[4];
  std::int64_t d = 0;
  for (; d + 4 <= n; d += 4, table += kQuadSums) {
    for (int i = 0; i < 4; ++i) v[i] = static_cast<F>(x[d + i]);
    make_table(table, v);
  }
  if (d == n) return;
  for (int i = 0; i < 4; ++i) v[i] = d + i < n ? static_cast<F>(x[d + i]) : F(0);
  make_table(table, v);
}

/// How the number of a sum is kept for lookups in tables of F with kWidth lanes. Eight lanes hold
/// the half of the table that adds element 3; the other half is its negative, named by the sign
/// bit. Sums of doubles are looked up one by one.
template <class F, int kWidth>
inline std::uint32_t encode_quad(std::uint32_t s) {
  if constexpr (std::is_same_v<F, float> && kWidth == 8)
    return (s >> 3 << 31) | ((s ^ (0u - (s >> 3))) & 7u);
  return s;
}

/// Lane j is lane which[j] of the table, modulo kWidth. Clang and GCC have different names for it.
template <int kWidth>
[[gnu::always_inline]] inline void look_up(
    typename Vector<float, kWidth>::type& found, const typename Vector<float, kWidth>::type& table,
    const typename Vector<std::uint32_t, kWidth>::type& which) {
#ifdef __clang__
  found = __builtin_shufflevector(table, which);
#else
  found = __builtin_shuffle(table, which);
#endif
}

/// acc[r][j] += the sum in tables[r][quad] that index[quad][j] names, quad after quad; kRows rows
/// and kVectors * kWidth columns.
template <class F, int kWidth, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_lookups(F* acc, std::int64_t acc_row, const F* tables,
                                               std::int64_t table_row, const std::uint32_t* index,
                                               std::int64_t index_row, std::int64_t quads) {
  if constexpr (std::is_same_v<F, float> && kWidth >= 8) {
    using V = typename Vector<float, kWidth>::type;
    using I = typename Vector<std::uint32_t, kWidth>::type;
    V sum[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        __builtin_memcpy(&sum[r][v], acc + r * acc_row + v * kWidth, sizeof(V));
    for (std::int64_t quad = 0; quad < quads; ++quad) {
      V table[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
        __builtin_memcpy(&table[r], tables + r * table_row + quad * kQuadSums, sizeof(V));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        I which;
        __builtin_memcpy(&which, index + quad * index_row + v * kWidth, sizeof(I));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          V found;
          look_up<kWidth>(found, table[r], which);
          if constexpr (kWidth == 8) found = (V)((I)found ^ (which & 0x80000000u));
          sum[r][v] += found;
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        __builtin_memcpy(acc + r * acc_row + v * kWidth, &sum[r][v], sizeof(V));
  } else {
    for (std::int64_t quad = 0; quad < quads; ++quad)
      for (int r = 0; r < kRows; ++r)
        for (int j = 0; j < kVectors * kWidth; ++j)
          acc[r * acc_row + j] +=
              tables[r * table_row + quad * kQuadSums + index[quad * index_row + j]];
  }
}

/// words[w][i] = word w of Philox block `block` of row k + i.
[[gnu::always_inline]] inline void make_sign_words(std::uint32_t (&words)[4][16],
                                                   const RademacherMatrix& matrix, std::uint32_t k,
                                                   std::uint32_t block) {
#pragma omp simd
  for (std::uint32_t i = 0; i < 16; ++i) {
    const Philox4 b = rademacher_block(matrix, k + i, block);
    words[0][i] = b.x;
    words[1][i] = b.y;
    words[2][i] = b.z;
    words[3][i] = b.w;
  }
}

}  // namespace limbeck::cpu
