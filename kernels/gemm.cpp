// SPDX-License-Identifier: Apache-2.0
// Blocked as Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a
// task owns a block of C. KC steps of k at a time it packs its share of B into strips of NR
// columns, which stay in L2, and sweeps panels of MR rows of A, which stay in L1, over them.
#include <limbeck/kernels/gemm.h>

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>

#include <limbeck/core/error.h>
#include <limbeck/core/half.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {
namespace {

using Index = std::int64_t;

constexpr std::size_t kMaxProblems = 8;
Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index round_up(Index a, Index unit) { return (a + unit - 1) / unit * unit; }

constexpr Index kDepth = 512;      // KC
constexpr Index kBlockCols = 256;  // NC; times KC floats: 512 KiB of L2

// The register tile: MR x NR accumulators, two vectors of B and one broadcast of A in registers.
// What is left of rows and columns is computed by tiles of 2/3 and 1/3 of the rows, and of half the
// columns.
template <class T, int kLanes>
struct Tile {
  static constexpr int kVector = kLanes * 4 / static_cast<int>(sizeof(T));
  static constexpr int kRows = kLanes == 16 ? 12 : 6;
  static constexpr int kCols = kVector * (kLanes == 4 ? 4 : 2);
};

// How a panel of R rows of A is laid out: as A is in memory, which needs no transposition. Known
// when compiled, so that a tile's R broadcasts share one register of addresses.
template <class T, int R, bool kByRows>
struct PanelLayout {
  static constexpr Index kRow = kByRows ? kDepth + 64 / static_cast<Index>(sizeof(T)) : 1;
  static constexpr Index kStep = kByRows ? 1 : R;
};

// c (R,C) = or += panel (R,depth) strip (depth,C): one fma per element and step of k, in order of
// k.
template <class T, int R, int C, class Layout>
[[gnu::always_inline]] inline void multiply_tile(Index depth, const T* panel, const T* strip, T* c,
                                                 Index ldc, bool from_c) {
  T acc[R][C];
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) acc[i][j] = from_c ? c[i * ldc + j] : T(0);
  for (Index k = 0; k < depth; ++k) {
    const T* b = strip + k * C;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const T x = panel[i * Layout::kRow + k * Layout::kStep];
#pragma omp simd
      for (int j = 0; j < C; ++j) {
        if constexpr (sizeof(T) == 4)
          acc[i][j] = __builtin_fmaf(x, b[j], acc[i][j]);
        else
          acc[i][j] = __builtin_fma(x, b[j], acc[i][j]);
      }
    }
  }
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < C; ++j) c[i * ldc + j] = acc[i][j];
}

// The first (rows,cols) of a tile.
template <class T, int R, int C, class Layout>
[[gnu::always_inline]] inline void compute_tile(Index depth, const T* panel, const T* strip, T* c,
                                                Index ldc, Index rows, Index cols, bool from_c) {
  T edge[R * C];
  const bool whole = rows == R && cols == C;
  if (!whole && from_c)
    for (Index i = 0; i < R; ++i)
      for (Index j = 0; j < C; ++j) edge[i * C + j] = i < rows && j < cols ? c[i * ldc + j] : T(0);
  multiply_tile<T, R, C, Layout>(depth, panel, strip, whole ? c : edge, whole ? ldc : C, from_c);
  if (!whole)
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) c[i * ldc + j] = edge[i * C + j];
}

// to[k * to_row + i] = from[i * from_row + k], a square of kVector.
template <class T, int kVector, class In>
[[gnu::always_inline]] inline void transpose_block(T* to, Index to_row, const In* from,
                                                   Index from_row) {
  if constexpr (std::is_same_v<T, In>) {
    transpose_square<T, kVector>(to, to_row, from, from_row);
  } else {
    T block[kVector * kVector];
    for (int i = 0; i < kVector; ++i)
      for (int k = 0; k < kVector; ++k) block[i * kVector + k] = from[i * from_row + k];
    transpose_square<T, kVector>(to, to_row, block, kVector);
  }
}

// Columns [0, cols) of B, steps [0, depth), as strip[k][j]; columns past the end are zeros.
template <class T, int C, int kVector, class In>
[[gnu::always_inline]] inline void pack_strip(T* strip, Strided<const In> b, Index depth,
                                              Index cols) {
  if (cols == C && b.col == 1) {
    for (Index k = 0; k < depth; ++k)
      for (int j = 0; j < C; ++j) strip[k * C + j] = b.p[k * b.row + j];
    return;
  }
  Index done = 0;
  if (cols == C && b.row == 1)
    for (; done + kVector <= depth; done += kVector)
      for (int j = 0; j < C; j += kVector)
        transpose_block<T, kVector>(strip + done * C + j, C, b.p + done + j * b.col, b.col);
  for (Index k = done; k < depth; ++k)
    for (Index j = 0; j < C; ++j)
      strip[k * C + j] = j < cols ? static_cast<T>(b.p[k * b.row + j * b.col]) : T(0);
}

// Strips of C columns, one after another, the last of C / 2 where that is enough.
template <class T, int C, int kVector, class In>
[[gnu::always_inline]] inline void pack_strips(T* strips, Strided<const In> b, Index depth,
                                               Index cols) {
  for (Index j = 0; j < cols; j += C) {
    const Strided<const In> from = {b.p + j * b.col, b.row, b.col};
    if (cols - j > C / 2)
      pack_strip<T, C, kVector>(strips + j * depth, from, depth, std::min<Index>(C, cols - j));
    else
      pack_strip<T, C / 2, kVector>(strips + j * depth, from, depth, cols - j);
  }
}

// Rows [0, rows) of A copied to be near each other, rows past the end filled with zeros: rows of A
// lie far apart, at worst a multiple of 4 KiB, where they would evict each other from L1.
template <class T, int R, bool kByRows, class In>
[[gnu::always_inline]] inline void pack_panel(T* panel, Strided<const In> a, Index depth,
                                              Index rows) {
  constexpr Index kRow = PanelLayout<T, R, kByRows>::kRow;
  if constexpr (kByRows) {
    for (Index i = 0; i < R; ++i)
      for (Index k = 0; k < depth; ++k)
        panel[i * kRow + k] = i < rows ? static_cast<T>(a.p[i * a.row + k]) : T(0);
  } else if (a.row == 1 && rows == R) {
    for (Index k = 0; k < depth; ++k)
      for (int i = 0; i < R; ++i) panel[k * R + i] = a.p[i + k * a.col];
  } else {
    for (Index k = 0; k < depth; ++k)
      for (int i = 0; i < R; ++i)
        panel[k * R + i] = i < rows ? static_cast<T>(a.p[i * a.row + k * a.col]) : T(0);
  }
}

// What a panel of A is swept over: `depth` steps of `cols` columns of B in strips, and where the
// product goes.
template <class T>
struct Sweep {
  Index depth, cols;
  const T* strips;
  Index ldc;
  bool from_c;
};

// Rows [0, rows) of A, at most R, times all strips.
template <class T, int R, int C, bool kByRows, class In>
[[gnu::always_inline]] inline void sweep_packed(const Sweep<T>& s, T* panel, Strided<const In> a,
                                                T* c, Index rows) {
  using Layout = PanelLayout<T, R, kByRows>;
  pack_panel<T, R, kByRows>(panel, a, s.depth, rows);
  for (Index j = 0; j < s.cols; j += C) {
    const T* strip = s.strips + j * s.depth;
    if (const Index cols = s.cols - j; cols > C / 2)
      compute_tile<T, R, C, Layout>(s.depth, panel, strip, c + j, s.ldc, rows,
                                    std::min<Index>(C, cols), s.from_c);
    else
      compute_tile<T, R, C / 2, Layout>(s.depth, panel, strip, c + j, s.ldc, rows, cols, s.from_c);
  }
}

template <class T, int R, int C, class In>
[[gnu::always_inline]] inline void sweep_panel(const Sweep<T>& s, T* panel, Strided<const In> a,
                                               T* c, Index rows) {
  if (a.col == 1)
    sweep_packed<T, R, C, true>(s, panel, a, c, rows);
  else
    sweep_packed<T, R, C, false>(s, panel, a, c, rows);
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

// One block of C: rows [i0,i1), columns [j0,j1). `strips` is memory for B's, or null: they are
// packed already.
template <class T, int kLanes, class In>
[[gnu::always_inline]] inline void compute_block(const GemmProblem<T, In>& p, T* strips, Index i0,
                                                 Index i1, Index j0, Index j1) {
  constexpr int R = Tile<T, kLanes>::kRows, C = Tile<T, kLanes>::kCols;
  alignas(64) T panel[(kDepth + 64 / sizeof(T)) * R];
  for (Index k0 = 0; k0 == 0 || k0 < p.k; k0 += kDepth) {  // once even when k is 0: C = 0
    const Index depth = std::min(kDepth, p.k - k0);
    const Strided<const In> b = {p.b.p + k0 * p.b.row + j0 * p.b.col, p.b.row, p.b.col};
    if (strips) pack_strips<T, C, Tile<T, kLanes>::kVector>(strips, b, depth, j1 - j0);
    const T* ready = strips ? strips : p.packed + k0 * round_up(p.n, C) + j0 * depth;
    const Sweep<T> sweep = {depth, j1 - j0, ready, p.ldc, p.add || k0 > 0};
    for (Index i = i0, rows; i < i1; i += rows) {
      const Strided<const In> a = {p.a.p + i * p.a.row + k0 * p.a.col, p.a.row, p.a.col};
      T* c = p.c + i * p.ldc + j0;
      rows = std::min<Index>(R, i1 - i);
      if (rows > R / 3 * 2)
        sweep_panel<T, R, C>(sweep, panel, a, c, rows);
      else if (rows > R / 3)
        sweep_panel<T, R / 3 * 2, C>(sweep, panel, a, c, rows);
      else
        sweep_panel<T, R / 3, C>(sweep, panel, a, c, rows);
    }
  }
  apply_epilogue(p.epilogue, p.c + i0 * p.ldc + j0, p.ldc, i1 - i0, j1 - j0, j0);
}

// A multiple of `unit` of which `parts`, the last perhaps shorter, make up the total.
Index part_size(Index total, Index parts, Index unit) {
  return round_up(ceil_div(total, parts), unit);
}

struct Blocks {
  Index rows, cols;
};

// Multiplications, 4 us or so: a block must be worth more than the 1 us that another task costs,
// and a small layer is not shared at all.
constexpr Index kBlockWork = 1 << 18;

// Blocks enough for all threads to end together, cut so that least is packed: every block of rows
// packs its own copy of B, every block of columns one of A. An element's bits depend on none of
// this.
Blocks choose_blocks(Index m, Index n, Index k, int row_unit, int col_unit) {
  const Index most = num_threads() > 1 ? 4 * num_threads() : 1;
  const Index wanted = std::clamp<Index>(m * n * k / kBlockWork, 1, most);
  const Index least = ceil_div(n, kBlockCols);
  const Index last = std::max(least, std::min(wanted, ceil_div(n, 2 * col_unit)));
  Index row_parts = 0, col_parts = 0, best_tasks = 0, best_cost = 0;
  for (Index cols = least; cols <= last;
       cols = cols == last ? last + 1 : std::min(2 * cols, last)) {
    const Index rows = std::min(ceil_div(wanted, cols), ceil_div(m, 4 * row_unit));
    const Index tasks = std::min(rows * cols, wanted), cost = m * cols + n * rows;
    if (tasks < best_tasks || (tasks == best_tasks && cost >= best_cost)) continue;
    row_parts = rows, col_parts = cols, best_tasks = tasks, best_cost = cost;
  }
  return {part_size(m, row_parts, row_unit), part_size(n, col_parts, col_unit)};
}

template <int kLanes, class T, class In>
Blocks blocks_of(const GemmProblem<T, In>& p) {
  return choose_blocks(p.m, p.n, p.k, Tile<T, kLanes>::kRows, Tile<T, kLanes>::kCols);
}

// Block t of a product.
template <int kLanes, class T, class In>
void run_block(const GemmProblem<T, In>& p, const Blocks& block, Index t) {
  const Index col_blocks = ceil_div(p.n, block.cols);
  const Index i0 = t / col_blocks * block.rows, j0 = t % col_blocks * block.cols;
  std::shared_ptr<void> memory;
  if (!p.packed)
    memory = pool_allocate(
        Device::cpu(), static_cast<std::size_t>(block.cols * std::min(p.k, kDepth) * sizeof(T)));
  simd([&](auto lanes) {
    if constexpr (lanes.value == kLanes)
      compute_block<T, kLanes>(p, static_cast<T*>(memory.get()), i0, std::min(p.m, i0 + block.rows),
                               j0, std::min(p.n, j0 + block.cols));
  });
}

template <int kLanes, class T, class In>
void run(std::span<const GemmProblem<T, In>> problems) {
  std::array<Index, kMaxProblems> first{};  // of the blocks, which are numbered through
  std::array<Blocks, kMaxProblems> blocks{};
  Index tasks = 0;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const GemmProblem<T, In>& p = problems[i];
    first[i] = tasks;
    blocks[i] = blocks_of<kLanes>(p);
    tasks += ceil_div(p.m, blocks[i].rows) * ceil_div(p.n, blocks[i].cols);
  }
  parallel_for(tasks, [&](Index t) {
    std::size_t i = problems.size() - 1;
    while (first[i] > t) --i;
    run_block<kLanes>(problems[i], blocks[i], t - first[i]);
  });
}

template <int kLanes, class T, class In>
void pack(T* to, Index n, Index k, Strided<const In> b) {
  constexpr Index C = Tile<T, kLanes>::kCols;
  parallel_ranges(n, kBlockCols, [&](Index j0, Index j1) {
    simd([&](auto lanes) {
      if constexpr (lanes.value == kLanes)
        for (Index k0 = 0; k0 < k; k0 += kDepth) {
          const Index depth = std::min(kDepth, k - k0);
          const Strided<const In> from = {b.p + k0 * b.row + j0 * b.col, b.row, b.col};
          pack_strips<T, C, Tile<T, kLanes>::kVector>(to + k0 * round_up(n, C) + j0 * depth, from,
                                                      depth, j1 - j0);
        }
    });
  });
}

// fn(lanes) for the vectors this CPU has.
template <class Fn>
void with_lanes(Fn&& fn) {
  switch (cpu_isa()) {
    case CpuIsa::avx512:
      return fn(std::integral_constant<int, 16>());
    case CpuIsa::avx2:
      return fn(std::integral_constant<int, 8>());
    case CpuIsa::portable:
      return fn(std::integral_constant<int, 4>());
  }
}

}  // namespace

template <class T>
template <class In>
PackedMatrix<T>::PackedMatrix(Index n, Index k, Strided<const In> b)
    : n_(n), k_(k), isa_(cpu_isa()) {
  with_lanes([&](auto lanes) {
    const Index columns = round_up(n, Tile<T, lanes.value>::kCols);
    data_ = std::static_pointer_cast<T>(
        pool_allocate(Device::cpu(), static_cast<std::size_t>(columns * k) * sizeof(T)));
    pack<lanes.value>(data_.get(), n, k, b);
  });
}

template <class T>
const T* PackedMatrix<T>::strips(Index n, Index k) const {
  return data_ && n == n_ && k == k_ && isa_ == cpu_isa() ? data_.get() : nullptr;
}

template <class T, class In>
void gemm_all(std::span<const GemmProblem<T, In>> problems) {
  LIMBECK_CHECK(problems.size() <= kMaxProblems, "gemm_all: ", problems.size(),
                " products; expected at most ", kMaxProblems);
  std::array<GemmProblem<T, In>, kMaxProblems> some;
  std::size_t count = 0;
  for (const GemmProblem<T, In>& p : problems)
    if (p.m > 0 && p.n > 0) some[count++] = p;
  if (count == 0) return;
  with_lanes([&](auto lanes) { run<lanes.value, T, In>({some.data(), count}); });
}

template <class T, class In>
void gemm(Index m, Index n, Index k, Strided<const In> a, Strided<const In> b, T* c, Index ldc,
          bool add, const GemmEpilogue<T>& epilogue) {
  const GemmProblem<T, In> p = {m, n, k, a, b, c, ldc, add, epilogue};
  gemm_all<T, In>({&p, 1});
}

#define LIMBECK_GEMM(T, In)                                                                      \
  template void gemm(Index, Index, Index, Strided<const In>, Strided<const In>, T*, Index, bool, \
                     const GemmEpilogue<T>&);                                                    \
  template void gemm_all(std::span<const GemmProblem<T, In>>);                                   \
  template PackedMatrix<T>::PackedMatrix(Index, Index, Strided<const In>);
LIMBECK_GEMM(float, float)
LIMBECK_GEMM(float, BFloat16)
LIMBECK_GEMM(float, Float16)
LIMBECK_GEMM(double, double)
#undef LIMBECK_GEMM
template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace limbeck::cpu
