// SPDX-License-Identifier: Apache-2.0
// Blocked as Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): B
// is packed once into strips of NR columns; a task owns a block of C and sweeps panels of MR rows
// of A over the strips, KC steps of k at a time, so that a panel stays in L1 and a block's strips
// in L2.
#include <limbeck/kernels/gemm.h>

#include <algorithm>
#include <memory>

#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kDepth = 512;      // KC
constexpr Index kBlockRows = 120;  // of C, per task; a multiple of every MR
constexpr Index kBlockCols = 256;  // of C, per task; times KC floats: 512 KiB of L2

// The register tile: MR x NR accumulators, two vectors of B and one broadcast of A in registers.
template <class T, int kLanes>
struct Tile {
  static constexpr int kVector = kLanes * 4 / static_cast<int>(sizeof(T));
  static constexpr int kRows = kLanes == 16 ? 12 : 6;
  static constexpr int kCols = kVector * (kLanes == 4 ? 4 : 2);
};

// acc += panel * strip, one fma per element and step of k, in order of k.
template <class T, int R, int C>
[[gnu::always_inline]] inline void multiply_add(T (&acc)[R][C], Index depth, Strided<const T> a,
                                                const T* strip) {
  for (Index k = 0; k < depth; ++k) {
    const T* b = strip + k * C;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const T x = a.p[i * a.row + k * a.col];
#pragma omp simd
      for (int j = 0; j < C; ++j) {
        if constexpr (sizeof(T) == 4)
          acc[i][j] = __builtin_fmaf(x, b[j], acc[i][j]);
        else
          acc[i][j] = __builtin_fma(x, b[j], acc[i][j]);
      }
    }
  }
}

// One tile of C lying in full rows of memory.
template <class T, int R, int C>
[[gnu::always_inline]] inline void tile_direct(Index depth, Strided<const T> a, const T* strip,
                                               Strided<T> c, bool from_c) {
  T acc[R][C];
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) acc[i][j] = from_c ? c.p[i * c.row + j] : T(0);
  multiply_add<T, R, C>(acc, depth, a, strip);
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) c.p[i * c.row + j] = acc[i][j];
}

// A ragged tile, or one of a transposed C: through a copy.
template <class T, int R, int C>
[[gnu::always_inline]] inline void tile_copied(Index depth, Strided<const T> a, const T* strip,
                                               Strided<T> c, Index rows, Index cols, bool from_c) {
  T tile[R][C] = {};
  if (from_c)
    for (Index j = 0; j < cols; ++j)
      for (Index i = 0; i < rows; ++i) tile[i][j] = c.p[i * c.row + j * c.col];
  tile_direct<T, R, C>(depth, a, strip, {&tile[0][0], C, 1}, true);
  for (Index j = 0; j < cols; ++j)
    for (Index i = 0; i < rows; ++i) c.p[i * c.row + j * c.col] = tile[i][j];
}

// Strip s of B, steps [k0, k0+depth): strip[k][j], columns past n filled with zeros.
template <class T, int C>
[[gnu::always_inline]] inline void pack_strip(T* strip, Strided<const T> b, Index depth,
                                              Index cols) {
  if (cols == C && b.col == 1) {
    for (Index k = 0; k < depth; ++k)
      for (int j = 0; j < C; ++j) strip[k * C + j] = b.p[k * b.row + j];
    return;
  }
  constexpr Index kRun = 16;  // reads whole cache lines of a transposed B
  for (Index k0 = 0; k0 < depth; k0 += kRun) {
    const Index run = std::min(kRun, depth - k0);
    for (Index j = 0; j < C; ++j)
      for (Index k = k0; k < k0 + run; ++k)
        strip[k * C + j] = j < cols ? b.p[k * b.row + j * b.col] : T(0);
  }
}

// Rows [0, rows) of A copied to be near each other, rows past the end filled with zeros: rows of A
// lie far apart, at worst a multiple of 4 KiB, where they would evict each other from L1. Keeps A's
// order in memory (so no transposition), and returns how the panel is laid out.
template <class T, int R>
[[gnu::always_inline]] inline Strided<const T> pack_panel(T* panel, Strided<const T> a, Index depth,
                                                          Index rows) {
  if (a.col == 1 && rows == R) {
    constexpr Index kStride = kDepth + 64 / static_cast<Index>(sizeof(T));
    for (Index i = 0; i < R; ++i)
      for (Index k = 0; k < depth; ++k) panel[i * kStride + k] = a.p[i * a.row + k];
    return {panel, kStride, 1};
  }
  if (a.row == 1 && rows == R) {
    for (Index k = 0; k < depth; ++k)
      for (int i = 0; i < R; ++i) panel[k * R + i] = a.p[i + k * a.col];
    return {panel, 1, R};
  }
  for (Index k = 0; k < depth; ++k)
    for (int i = 0; i < R; ++i) panel[k * R + i] = i < rows ? a.p[i * a.row + k * a.col] : T(0);
  return {panel, 1, R};
}

// c: the caller's rows, each contiguous.
template <class T>
[[gnu::always_inline]] inline void apply_epilogue(const GemmEpilogue<T>& e, T* c, Index ldc,
                                                  Index rows, Index cols, Index first_col) {
  if (e.bias == nullptr && !e.relu) return;
  for (Index i = 0; i < rows; ++i) {
    T* row = c + i * ldc;
    if (e.bias != nullptr)
      for (Index j = 0; j < cols; ++j) row[j] += e.bias[first_col + j];
    if (e.relu)
      for (Index j = 0; j < cols; ++j) row[j] = row[j] < 0 ? T(0) : row[j];
  }
}

template <class T>
struct Problem {
  Index m, n, k;
  Strided<const T> a, b;
  Strided<T> c;
  bool add;
  GemmEpilogue<T> epilogue;
  bool transposed;  // computes C^T, so rows here are columns of the caller's C
};

// Equal blocks of at most `limit`, each a multiple of `unit`.
Index block_size(Index total, Index limit, Index unit) {
  const Index blocks = (total + limit - 1) / limit;
  const Index even = (total + blocks - 1) / blocks;
  return (even + unit - 1) / unit * unit;
}

// Packed B: for each KC block, all strips of NR columns one after another.
template <class T, int C>
void pack_b(const Problem<T>& p, T* packed) {
  if (p.k == 0) return;
  const Index strips = (p.n + C - 1) / C;
  const Index blocks = (p.k + kDepth - 1) / kDepth;
  parallel_ranges(strips * blocks,
                  std::max<Index>(1, 32768 / (C * std::clamp<Index>(p.k, 1, kDepth))),
                  [&](Index begin, Index end) {
                    simd([&](auto) {
                      for (Index t = begin; t < end; ++t) {
                        const Index k0 = t / strips * kDepth, j0 = t % strips * C;
                        const Index depth = std::min(kDepth, p.k - k0);
                        pack_strip<T, C>(packed + k0 * strips * C + t % strips * depth * C,
                                         {p.b.p + k0 * p.b.row + j0 * p.b.col, p.b.row, p.b.col},
                                         depth, std::min<Index>(C, p.n - j0));
                      }
                    });
                  });
}

// One block of C: rows [i0,i1), columns [j0,j1).
template <class T, int R, int C>
[[gnu::always_inline]] inline void compute_block(const Problem<T>& p, const T* packed, Index i0,
                                                 Index i1, Index j0, Index j1) {
  alignas(64) T panel[(kDepth + 64 / sizeof(T)) * R];
  const Index strips = (p.n + C - 1) / C;
  for (Index k0 = 0; k0 == 0 || k0 < p.k; k0 += kDepth) {  // once even when k is 0: C = 0
    const Index depth = std::min(kDepth, p.k - k0);
    const bool from_c = p.add || k0 > 0;
    for (Index i = i0; i < i1; i += R) {
      const Index rows = std::min<Index>(R, i1 - i);
      const Strided<const T> a = pack_panel<T, R>(
          panel, {p.a.p + i * p.a.row + k0 * p.a.col, p.a.row, p.a.col}, depth, rows);
      for (Index j = j0; j < j1; j += C) {
        const T* strip = packed + k0 * strips * C + j / C * depth * C;
        const Strided<T> c = {p.c.p + i * p.c.row + j * p.c.col, p.c.row, p.c.col};
        const Index cols = std::min<Index>(C, p.n - j);
        if (rows == R && cols == C && c.col == 1)
          tile_direct<T, R, C>(depth, a, strip, c, from_c);
        else
          tile_copied<T, R, C>(depth, a, strip, c, rows, cols, from_c);
      }
    }
  }
  const Index rows = i1 - i0, cols = std::min(j1, p.n) - j0;
  T* block = p.c.p + i0 * p.c.row + j0 * p.c.col;
  if (p.transposed)
    apply_epilogue(p.epilogue, block, p.c.col, cols, rows, i0);
  else
    apply_epilogue(p.epilogue, block, p.c.row, rows, cols, j0);
}

// A transposed B costs a transposing copy of all of it. With few rows of A it is cheaper to compute
// C^T, whose "B" is A^T, and to scatter C. Costs in units of one fma: products, whole strips
// counted, then 16 per element copied across and 24 per element scattered (measured).
template <class T, int kLanes>
bool better_transposed(const Problem<T>& p) {
  if (p.b.col == 1 || p.b.row != 1) return false;
  constexpr Index C = Tile<T, kLanes>::kCols;
  const auto strips = [](Index n) { return (n + C - 1) / C * C; };
  return strips(p.m) * p.n * p.k + 16 * p.m * p.k + 24 * p.m * p.n <
         strips(p.n) * p.m * p.k + 16 * p.k * p.n;
}

template <class T>
Problem<T> transpose(const Problem<T>& p) {
  return {p.n,
          p.m,
          p.k,
          {p.b.p, p.b.col, p.b.row},
          {p.a.p, p.a.col, p.a.row},
          {p.c.p, p.c.col, p.c.row},
          p.add,
          p.epilogue,
          true};
}

template <class T, int kLanes>
void run(const Problem<T>& problem) {
  const Problem<T> p = better_transposed<T, kLanes>(problem) ? transpose(problem) : problem;
  constexpr int R = Tile<T, kLanes>::kRows, C = Tile<T, kLanes>::kCols;
  const Index strips = (p.n + C - 1) / C;
  const auto memory =
      pool_allocate(Device::cpu(), static_cast<std::size_t>(strips * C * p.k) * sizeof(T));
  T* packed = static_cast<T*>(memory.get());
  pack_b<T, C>(p, packed);

  const Index rows = block_size(p.m, kBlockRows, R), cols = block_size(p.n, kBlockCols, C);
  const Index row_blocks = (p.m + rows - 1) / rows, col_blocks = (p.n + cols - 1) / cols;
  parallel_for(row_blocks * col_blocks, [&](Index t) {
    const Index i0 = t / col_blocks * rows, j0 = t % col_blocks * cols;
    simd([&](auto lanes) {
      if constexpr (lanes.value == kLanes)
        compute_block<T, R, C>(p, packed, i0, std::min(p.m, i0 + rows), j0,
                               std::min(p.n, j0 + cols));
    });
  });
}

}  // namespace

template <class T>
void gemm(Index m, Index n, Index k, Strided<const T> a, Strided<const T> b, T* c, Index ldc,
          bool add, const GemmEpilogue<T>& epilogue) {
  if (m == 0 || n == 0) return;
  const Problem<T> p = {m, n, k, a, b, {c, ldc, 1}, add, epilogue, false};
  switch (cpu_isa()) {
    case CpuIsa::avx512:
      return run<T, 16>(p);
    case CpuIsa::avx2:
      return run<T, 8>(p);
    case CpuIsa::portable:
      return run<T, 4>(p);
  }
}

template void gemm(Index, Index, Index, Strided<const float>, Strided<const float>, float*, Index,
                   bool, const GemmEpilogue<float>&);
template void gemm(Index, Index, Index, Strided<const double>, Strided<const double>, double*,
                   Index, bool, const GemmEpilogue<double>&);

}  // namespace limbeck::cpu
