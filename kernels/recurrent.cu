// SPDX-License-Identifier: Apache-2.0
// A step is a product with W_hh by the library and one kernel of a thread per unit, which reads and
// writes the unit's gates, states and what is saved.
#include <limbeck/kernels/recurrent.h>

#include <utility>

#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/recurrent_cells.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

struct Extents {
  std::int64_t N, T, H, columns, first_column;
  const std::int32_t* lengths;

  Extents(const Tensor& y, std::int64_t hidden, const Tensor& len, const RecurrentOptions& options)
      : N(y.dim(0)),
        T(y.dim(1)),
        H(hidden),
        columns(y.dim(2)),
        first_column(options.first_column),
        lengths(len.defined() ? len.data<std::int32_t>() : nullptr) {}
};

/// A thread's unit: where its numbers are.
struct Unit {
  std::int64_t n, j;
  std::int64_t state;   // in (N,H)
  std::int64_t row;     // (n,t) of (N,T)
  std::int64_t output;  // in y
  bool valid;
};
LIMBECK_DEVICE Unit unit_of(std::int64_t i, std::int64_t t, const Extents& e) {
  const std::int64_t n = i / e.H, j = i - n * e.H, row = n * e.T + t;
  return {
      n, j, i, row, row * e.columns + e.first_column + j, e.lengths == nullptr || t < e.lengths[n]};
}

template <class T>
struct Forward {
  Extents e;
  T *y, *h, *states, *gates;  // states null: nothing is saved
  float *c, *cells;
  const T *p, *bias;
  const float* u;
};

template <class Cell, class T>
LIMBECK_KERNEL recurrent_forward_kernel(Forward<T> f, std::int64_t t) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, H = f.e.H;
  if (i >= f.e.N * H) return;
  const Unit unit = unit_of(i, t, f.e);
  float x[Cell::kGates], v[Cell::kGates], saved[Cell::kSaved] = {}, h = 0, c = 0;
  CellStates<float> next{};
  if (unit.valid) {
    h = f.h[i];
    if (Cell::kHasMemory) c = f.c[i];
    LIMBECK_UNROLL
    for (int g = 0; g < Cell::kGates; ++g) {
      x[g] = f.p[(unit.row * Cell::kGates + g) * H + unit.j];
      v[g] = f.u[(unit.n * Cell::kGates + g) * H + unit.j];
      if (f.bias != nullptr) v[g] += static_cast<float>(f.bias[g * H + unit.j]);
    }
    next = Cell::step(saved, x, v, h, c);
    f.h[i] = T(next.h);
    if (Cell::kHasMemory) f.c[i] = next.c;
  }
  f.y[unit.output] = T(next.h);
  if (f.states == nullptr) return;
  f.states[unit.row * H + unit.j] = T(h);
  if (Cell::kHasMemory) f.cells[unit.row * H + unit.j] = c;
  LIMBECK_UNROLL
  for (int s = 0; s < Cell::kSaved; ++s)
    f.gates[(unit.row * Cell::kSaved + s) * H + unit.j] = T(saved[s]);
}

template <class T>
struct Backward {
  Extents e;
  T *dp, *du, *step_du;  // step_du (N,G*H): of this step alone
  float *dh, *dc;
  const T *dy, *states, *gates;
  const float* cells;
};

template <class Cell, class T>
LIMBECK_KERNEL recurrent_backward_kernel(Backward<T> b, std::int64_t t) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, H = b.e.H;
  if (i >= b.e.N * H) return;
  const Unit unit = unit_of(i, t, b.e);
  float dx[Cell::kGates] = {}, dv[Cell::kGates] = {}, saved[Cell::kSaved];
  if (unit.valid) {
    LIMBECK_UNROLL
    for (int s = 0; s < Cell::kSaved; ++s)
      saved[s] = b.gates[(unit.row * Cell::kSaved + s) * H + unit.j];
    const float dh = b.dh[i] + static_cast<float>(b.dy[unit.output]);
    const float h = b.states[unit.row * H + unit.j];
    const float dc = Cell::kHasMemory ? b.dc[i] : 0.0f;
    const float c = Cell::kHasMemory ? b.cells[unit.row * H + unit.j] : 0.0f;
    const CellStates<float> d = Cell::back(dx, dv, dh, dc, saved, h, c);
    b.dh[i] = d.h;
    if (Cell::kHasMemory) b.dc[i] = d.c;
  }
  LIMBECK_UNROLL
  for (int g = 0; g < Cell::kGates; ++g) {
    const std::int64_t at = (unit.row * Cell::kGates + g) * H + unit.j;
    b.dp[at] = T(dx[g]);
    b.du[at] = T(dv[g]);
    b.step_du[(unit.n * Cell::kGates + g) * H + unit.j] = T(dv[g]);
  }
}

// A copy of a state to work in, zeros where there is none.
Tensor state_copy(const Tensor& state, const Tensor& like, DType dtype) {
  Tensor copy = Tensor::zeros(like.shape(), dtype, like.device());
  if (state.defined()) copy.copy_from(state.to(dtype));
  return copy;
}

gpu::Launch one_thread_each(const char* name, const Extents& e) {
  return {name, gpu::blocks_for(e.N * e.H, 256), 256};
}

}  // namespace

void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options) {
  if (h_n.numel() == 0) return;
  RecurrentSaved nothing;
  RecurrentSaved& keep = saved != nullptr ? *saved : nothing;
  const Extents e(y, in.w_hh.dim(1), in.lengths, options);
  h_n.copy_from(state_copy(in.h0, h_n, h_n.dtype()));
  Tensor u = Tensor::empty({e.N, in.w_hh.dim(0)}, DType::f32, y.device()), c;
  if (c_n.defined()) c = state_copy(in.c0, c_n, DType::f32);
  gpu::visit_gpu_floating("recurrent_forward", y.dtype(), [&]<class T>(TypeTag<T>) {
    const Forward<T> f = {e,
                          y.data<T>(),
                          h_n.data<T>(),
                          data_or_null<T>(keep.states),
                          data_or_null<T>(keep.gates),
                          data_or_null<float>(c),
                          data_or_null<float>(keep.cells),
                          in.p.data<T>(),
                          data_or_null<T>(in.b_hh),
                          u.data<float>()};
    visit_cell(options.cell, [&]<class Cell>(Cell) {
      for (std::int64_t step = 0; step < e.T; ++step) {
        cuda::matmul(u, h_n, Trans::no, in.w_hh, Trans::yes, Out::write);
        gpu::launch(one_thread_each("recurrent_forward", e), recurrent_forward_kernel<Cell, T>, f,
                    options.reverse ? e.T - 1 - step : step);
      }
    });
  });
  if (c_n.defined()) c_n.copy_from(c.to(c_n.dtype()));
}

void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths,
                        const RecurrentOptions& options) {
  if (grads.dh0.numel() == 0) return;
  const Extents e(dy, w_hh.dim(1), lengths, options);
  Tensor step_du = Tensor::empty({e.N, w_hh.dim(0)}, dy.dtype(), dy.device());
  Tensor dh = Tensor::zeros(grads.dh0.shape(), DType::f32, dy.device()), dc;
  if (grads.dc0.defined()) dc = Tensor::zeros_like(dh);
  gpu::visit_gpu_floating("recurrent_backward", dy.dtype(), [&]<class T>(TypeTag<T>) {
    const Backward<T> b = {e,
                           grads.dp.data<T>(),
                           grads.du.data<T>(),
                           step_du.data<T>(),
                           dh.data<float>(),
                           data_or_null<float>(dc),
                           dy.data<T>(),
                           saved.states.data<T>(),
                           saved.gates.data<T>(),
                           data_or_null<float>(saved.cells)};
    visit_cell(options.cell, [&]<class Cell>(Cell) {
      for (std::int64_t step = e.T - 1; step >= 0; --step) {
        gpu::launch(one_thread_each("recurrent_backward", e), recurrent_backward_kernel<Cell, T>, b,
                    options.reverse ? e.T - 1 - step : step);
        cuda::matmul(dh, step_du, Trans::no, w_hh, Trans::no, Out::add);
      }
    });
  });
  grads.dh0.copy_from(dh.to(grads.dh0.dtype()));
  if (grads.dc0.defined()) grads.dc0.copy_from(dc.to(grads.dc0.dtype()));
}

}  // namespace limbeck::cuda
