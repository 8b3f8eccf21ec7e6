// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: all steps of some sequences of a recurrence, forward and backward, inside simd().
#pragma once

#include <cstdint>

#include <limbeck/core/parallel.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/recurrent_cells.h>
#include <limbeck/kernels/step_product.h>

namespace limbeck::cpu {

using Index = std::int64_t;

struct Extents {
  Index N, T, H, columns, first_column;
  bool reverse;
  const std::int32_t* lengths;

  Extents(const Tensor& y, Index hidden, const Tensor& len, const RecurrentOptions& options)
      : N(y.dim(0)),
        T(y.dim(1)),
        H(hidden),
        columns(y.dim(2)),
        first_column(options.first_column),
        reverse(options.reverse),
        lengths(len.defined() ? len.data<std::int32_t>() : nullptr) {}

  Index time(Index step) const { return reverse ? T - 1 - step : step; }
  bool valid(Index n, Index t) const { return lengths == nullptr || t < lengths[n]; }
  Index output(Index n, Index t) const { return (n * T + t) * columns + first_column; }
};

// Rows of a task's scratch lie a cache line further apart than they are long, so that those of one
// column do not evict each other.
inline Index scratch_stride(Index columns) { return padded_columns(columns) + 16; }

// Fewer sequences to a task when there are few for each thread: no bit depends on it. Multiples of
// every StepTile's rows.
inline Index task_rows(Index N) { return N >= 32 * num_threads() ? 16 : 8; }

// Scratch of a task: two states and the gates of its sequences.
template <class F, int kGates>
struct Scratch {
  Index rows, stride, gate_stride;
  F *h, *c, *u;

  Scratch(Index sequences, Index H)
      : rows((sequences + 7) / 8 * 8),
        stride(scratch_stride(H)),
        gate_stride(scratch_stride(kGates * H)),
        memory_(Tensor::zeros({rows * (2 * stride + gate_stride)}, dtype_of<F>())) {
    h = memory_.data<F>();
    c = h + rows * stride;
    u = c + rows * stride;
  }

 private:
  Tensor memory_;
};

template <class T, class F>
[[gnu::always_inline]] inline void copy_row(T* to, const F* from, Index n) {
#pragma omp simd
  for (Index j = 0; j < n; ++j) to[j] = from[j];
}
template <class T>
[[gnu::always_inline]] inline void zero_row(T* to, Index n) {
#pragma omp simd
  for (Index j = 0; j < n; ++j) to[j] = 0;
}

template <class T, class F = ComputeType<T>>
struct Forward {
  Extents e;
  T *y, *h_n, *c_n;
  T *states, *gates;  // null when nothing is saved
  F* cells;
  const T *p, *h0, *c0;
  const F *strips, *bias;
};

// What a step saves when nobody wants it: one row, in the cache.
template <class T, class F>
struct Unsaved {
  Tensor small, wide;
  T *states, *gates;
  F* cells;

  Unsaved(Index H, Index saved)
      : small(Tensor::empty({(1 + saved) * H}, dtype_of<T>())),
        wide(Tensor::empty({H}, dtype_of<F>())),
        states(small.data<T>()),
        gates(states + H),
        cells(wide.data<F>()) {}
};

// One step of one sequence; all pointers are at its rows.
// ivdep, not simd: the latter keeps the little arrays in memory, and a cell's steps apart.
template <class Cell, class T, class F>
[[gnu::always_inline]] inline void step_row(Index H, T* y, F* h, F* c, const T* p, const F* u,
                                            T* states, F* cells, T* gates) {
#pragma GCC ivdep
  for (Index j = 0; j < H; ++j) {
    F x[Cell::kGates], v[Cell::kGates], saved[Cell::kSaved];
    for (int g = 0; g < Cell::kGates; ++g) x[g] = p[g * H + j];
    for (int g = 0; g < Cell::kGates; ++g) v[g] = u[g * H + j];
    const CellStates<F> next = Cell::step(saved, x, v, h[j], Cell::kHasMemory ? c[j] : F(0));
    states[j] = h[j];
    if constexpr (Cell::kHasMemory) cells[j] = c[j];
    for (int s = 0; s < Cell::kSaved; ++s) gates[s * H + j] = saved[s];
    T rounded;
    rounded = next.h;
    y[j] = rounded;
    h[j] = rounded;
    if constexpr (Cell::kHasMemory) c[j] = next.c;
  }
}

template <class Cell, class T, class F>
[[gnu::always_inline]] inline void step_sequence(const Forward<T>& f, Index n, Index t, F* h, F* c,
                                                 const F* u, const Unsaved<T, F>& unsaved) {
  const Index H = f.e.H, at = (n * f.e.T + t) * H;
  const bool saves = f.states != nullptr;
  T* y = f.y + f.e.output(n, t);
  T* states = saves ? f.states + at : unsaved.states;
  T* gates = saves ? f.gates + at * Cell::kSaved : unsaved.gates;
  F* cells = saves && Cell::kHasMemory ? f.cells + at : unsaved.cells;
  if (f.e.valid(n, t))
    return step_row<Cell>(H, y, h, c, f.p + at * Cell::kGates, u, states, cells, gates);
  zero_row(y, H);
  zero_row(states, H);
  zero_row(gates, Cell::kSaved * H);
  if constexpr (Cell::kHasMemory) zero_row(cells, H);
}

template <class Cell, int kLanes, class T, class F>
[[gnu::always_inline]] inline void run_forward(const Forward<T>& f, Index n0, Index n1,
                                               const Scratch<F, Cell::kGates>& s,
                                               const Unsaved<T, F>& unsaved) {
  const Index H = f.e.H;
  for (Index n = n0; n < n1; ++n) {
    if (f.h0 != nullptr) copy_row(s.h + (n - n0) * s.stride, f.h0 + n * H, H);
    if (f.c0 != nullptr) copy_row(s.c + (n - n0) * s.stride, f.c0 + n * H, H);
  }
  for (Index step = 0; step < f.e.T; ++step) {
    step_product<kLanes, F>({s.u, s.gate_stride}, {f.bias, 0}, {s.h, s.stride}, f.strips, s.rows,
                            Cell::kGates * H, H);
    for (Index n = n0; n < n1; ++n)
      step_sequence<Cell>(f, n, f.e.time(step), s.h + (n - n0) * s.stride,
                          s.c + (n - n0) * s.stride, s.u + (n - n0) * s.gate_stride, unsaved);
  }
  for (Index n = n0; n < n1; ++n) {
    copy_row(f.h_n + n * H, s.h + (n - n0) * s.stride, H);
    if constexpr (Cell::kHasMemory) copy_row(f.c_n + n * H, s.c + (n - n0) * s.stride, H);
  }
}

template <class T, class F = ComputeType<T>>
struct Backward {
  Extents e;
  T *dp, *du, *dh0, *dc0;
  const T *dy, *states, *gates;
  const F *cells, *strips;
};

// The same, backwards: h and c are the gradients of the states.
template <class Cell, class T, class F>
[[gnu::always_inline]] inline void back_row(Index H, T* dp, T* du, F* h, F* c, F* u, const T* dy,
                                            const T* states, const F* cells, const T* gates) {
#pragma GCC ivdep
  for (Index j = 0; j < H; ++j) {
    F saved[Cell::kSaved], dx[Cell::kGates], dv[Cell::kGates];
    for (int s = 0; s < Cell::kSaved; ++s) saved[s] = gates[s * H + j];
    const F dh = h[j] + static_cast<F>(dy[j]), before = states[j];
    const CellStates<F> d = Cell::back(dx, dv, dh, Cell::kHasMemory ? c[j] : F(0), saved, before,
                                       Cell::kHasMemory ? cells[j] : F(0));
    for (int g = 0; g < Cell::kGates; ++g) dp[g * H + j] = dx[g];
    if constexpr (Cell::kSplits)
      for (int g = 0; g < Cell::kGates; ++g) du[g * H + j] = dv[g];
    for (int g = 0; g < Cell::kGates; ++g) u[g * H + j] = dv[g];
    h[j] = d.h;
    if constexpr (Cell::kHasMemory) c[j] = d.c;
  }
}

template <class Cell, class T, class F>
[[gnu::always_inline]] inline void back_sequence(const Backward<T>& b, Index n, Index t, F* h, F* c,
                                                 F* u) {
  const Index H = b.e.H, at = (n * b.e.T + t) * H, width = Cell::kGates * H;
  T* dp = b.dp + at * Cell::kGates;
  T* du = b.du + at * Cell::kGates;
  if (b.e.valid(n, t)) {
    back_row<Cell>(H, dp, du, h, c, u, b.dy + b.e.output(n, t), b.states + at, b.cells + at,
                   b.gates + at * Cell::kSaved);
  } else {  // the states stay, and so do their gradients
    zero_row(u, width);
    zero_row(dp, width);
  }
  if (du != dp && !(Cell::kSplits && b.e.valid(n, t))) copy_row(du, dp, width);
}

template <class Cell, int kLanes, class T, class F>
[[gnu::always_inline]] inline void run_backward(const Backward<T>& b, Index n0, Index n1,
                                                const Scratch<F, Cell::kGates>& s) {
  const Index H = b.e.H;
  for (Index step = b.e.T - 1; step >= 0; --step) {
    for (Index n = n0; n < n1; ++n)
      back_sequence<Cell>(b, n, b.e.time(step), s.h + (n - n0) * s.stride,
                          s.c + (n - n0) * s.stride, s.u + (n - n0) * s.gate_stride);
    step_product<kLanes, F>({s.h, s.stride}, {s.h, s.stride}, {s.u, s.gate_stride}, b.strips,
                            s.rows, H, Cell::kGates * H);
  }
  for (Index n = n0; n < n1; ++n) {
    copy_row(b.dh0 + n * H, s.h + (n - n0) * s.stride, H);
    if constexpr (Cell::kHasMemory) copy_row(b.dc0 + n * H, s.c + (n - n0) * s.stride, H);
  }
}

}  // namespace limbeck::cpu
