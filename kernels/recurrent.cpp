// SPDX-License-Identifier: Apache-2.0
// A task owns some sequences and runs all steps of them, so no step waits for a thread.
#include <limbeck/kernels/recurrent.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/recurrent_rows.h>

namespace limbeck {
namespace {

void check(const char* op, const char* what, const Tensor& t, const Shape& shape,
           const Tensor& like) {
  const Shape actual = t.defined() ? t.shape() : Shape{};
  LIMBECK_CHECK(t.defined() && actual == shape, op, ": ", what, " has shape ", actual,
                "; expected ", shape);
  LIMBECK_CHECK(t.dtype() == like.dtype() && t.device() == like.device(), op, ": ", what, " is ",
                t.dtype(), " on ", t.device(), "; expected ", like.dtype(), " on ", like.device());
}

void check_optional(const char* op, const char* what, const Tensor& t, const Shape& shape,
                    const Tensor& like) {
  if (t.defined()) check(op, what, t, shape, like);
}

void check_lengths(const char* op, const Tensor& lengths, std::int64_t N, Device device) {
  if (!lengths.defined()) return;
  LIMBECK_CHECK(
      lengths.shape() == Shape{N} && lengths.dtype() == DType::i32 && lengths.device() == device,
      op, ": lengths are ", lengths.dtype(), " of shape ", lengths.shape(), " on ",
      lengths.device(), "; expected i32 of shape ", Shape{N}, " on ", device);
}

// y or dy: wide enough for the columns.
void check_output(const char* op, const char* what, const Tensor& y, const Shape& states,
                  const Tensor& like, std::int64_t first_column) {
  const bool rank3 = y.defined() && y.rank() == 3;
  LIMBECK_CHECK(rank3 && first_column >= 0 && y.dim(2) >= first_column + states[2], op, ": ", what,
                " has shape ", y.defined() ? y.shape() : Shape{}, "; expected ", states,
                " or wider, from column ", first_column);
  check(op, what, y, {states[0], states[1], y.dim(2)}, like);
}

DType sum_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_saved(const char* op, const RecurrentSaved& saved, const Shape& states,
                 RecurrentCell cell, const Tensor& like) {
  check(op, "saved.states", saved.states, states, like);
  std::int64_t numbers = 1;
  visit_cell(cell, [&]<class Cell>(Cell) { numbers = Cell::kSaved; });
  check(op, "saved.gates", saved.gates, {states[0], states[1], numbers * states[2]}, like);
  if (cell != RecurrentCell::lstm) return;
  LIMBECK_CHECK(saved.cells.defined() && saved.cells.shape() == states &&
                    saved.cells.dtype() == sum_dtype(like.dtype()),
                op, ": saved.cells are not those of empty_recurrent_saved");
}

}  // namespace

std::int64_t recurrent_gates(RecurrentCell cell) {
  std::int64_t gates = 0;
  visit_cell(cell, [&]<class Cell>(Cell) { gates = Cell::kGates; });
  return gates;
}

RecurrentSaved empty_recurrent_saved(const Tensor& p, RecurrentCell cell) {
  const std::int64_t N = p.dim(0), T = p.dim(1), H = p.dim(2) / recurrent_gates(cell);
  RecurrentSaved saved;
  visit_cell(cell, [&]<class Cell>(Cell) {
    saved.states = Tensor::empty({N, T, H}, p.dtype(), p.device());
    saved.gates = Tensor::empty({N, T, Cell::kSaved * H}, p.dtype(), p.device());
    if (Cell::kHasMemory) saved.cells = Tensor::empty({N, T, H}, sum_dtype(p.dtype()), p.device());
  });
  return saved;
}

void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options) {
  const char* op = "recurrent_forward";
  const std::int64_t G = recurrent_gates(options.cell);
  LIMBECK_CHECK(in.w_hh.defined() && in.w_hh.rank() == 2 && is_floating(in.w_hh.dtype()), op,
                ": w_hh is not a matrix of a floating dtype");
  const std::int64_t H = in.w_hh.dim(1);
  LIMBECK_CHECK(in.p.defined() && in.p.rank() == 3, op, ": p has shape ",
                in.p.defined() ? in.p.shape() : Shape{}, "; expected (N,T,", G * H, ")");
  const std::int64_t N = in.p.dim(0), T = in.p.dim(1);
  const bool lstm = options.cell == RecurrentCell::lstm;
  check(op, "w_hh", in.w_hh, {G * H, H}, in.w_hh);
  check(op, "p", in.p, {N, T, G * H}, in.w_hh);
  check_optional(op, "b_hh", in.b_hh, {G * H}, in.p);
  check_optional(op, "h0", in.h0, {N, H}, in.p);
  check_optional(op, "c0", in.c0, {N, H}, in.p);
  LIMBECK_CHECK(lstm || !in.c0.defined(), op, ": c0 is given; expected one for an lstm only");
  check_lengths(op, in.lengths, N, in.p.device());
  check_output(op, "y", y, {N, T, H}, in.p, options.first_column);
  check(op, "h_n", h_n, {N, H}, in.p);
  if (lstm) check(op, "c_n", c_n, {N, H}, in.p);
  if (saved != nullptr) check_saved(op, *saved, {N, T, H}, options.cell, in.p);
  LIMBECK_DISPATCH(in.p.device(), recurrent_forward(y, h_n, c_n, saved, in, options));
}

void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths,
                        const RecurrentOptions& options) {
  const char* op = "recurrent_backward";
  LIMBECK_CHECK(saved.states.defined() && saved.states.rank() == 3, op,
                ": saved.states are undefined; expected those of the forward pass");
  const Tensor& like = saved.states;
  const std::int64_t G = recurrent_gates(options.cell);
  const std::int64_t N = like.dim(0), T = like.dim(1), H = like.dim(2);
  check_saved(op, saved, like.shape(), options.cell, like);
  check_output(op, "dy", dy, like.shape(), like, options.first_column);
  check(op, "w_hh", w_hh, {G * H, H}, like);
  check_lengths(op, lengths, N, like.device());
  check(op, "dp", grads.dp, {N, T, G * H}, like);
  check(op, "du", grads.du, {N, T, G * H}, like);
  LIMBECK_CHECK(options.cell != RecurrentCell::gru || grads.dp.raw() != grads.du.raw() ||
                    grads.dp.numel() == 0,
                op, ": dp and du share memory; a gru's differ");
  check(op, "dh0", grads.dh0, {N, H}, like);
  if (options.cell == RecurrentCell::lstm) check(op, "dc0", grads.dc0, {N, H}, like);
  LIMBECK_DISPATCH(like.device(), recurrent_backward(grads, dy, saved, w_hh, lengths, options));
}

namespace cpu {
namespace {

// b (k,n) for step_product with the tile of the instruction set in use.
template <class F, class T>
Tensor packed(Strided<const T> b, Index k, Index n) {
  Tensor strips = Tensor::empty({k * padded_columns(n)}, dtype_of<F>());
  F* to = strips.data<F>();
  simd([&](auto lanes) { pack_columns<StepTile<F, lanes.value>::kCols>(to, b, k, n); });
  return strips;
}

template <class F>
Tensor padded_bias(const Tensor& bias, Index n) {
  Tensor wide = Tensor::zeros({padded_columns(n)}, dtype_of<F>());
  if (bias.defined()) wide.rows(0, n).copy_from(bias.to(dtype_of<F>()));
  return wide;
}

}  // namespace

void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options) {
  RecurrentSaved nothing;
  RecurrentSaved& keep = saved != nullptr ? *saved : nothing;
  visit_floating(in.p.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    visit_cell(options.cell, [&]<class Cell>(Cell) {
      const Index H = in.w_hh.dim(1), width = Cell::kGates * H;
      const Tensor strips = packed<F>(Strided<const T>{in.w_hh.data<T>(), 1, H}, H, width);
      const Tensor bias = padded_bias<F>(in.b_hh, width);
      const Forward<T> f = {Extents(y, H, in.lengths, options),
                            y.data<T>(),
                            h_n.data<T>(),
                            data_or_null<T>(c_n),
                            data_or_null<T>(keep.states),
                            data_or_null<T>(keep.gates),
                            data_or_null<F>(keep.cells),
                            in.p.data<T>(),
                            data_or_null<T>(in.h0),
                            data_or_null<T>(in.c0),
                            strips.data<F>(),
                            bias.data<F>()};
      parallel_ranges(f.e.N, task_rows(f.e.N), [&](Index begin, Index end) {
        const Scratch<F, Cell::kGates> scratch(end - begin, H);
        const Unsaved<T, F> unsaved(H, Cell::kSaved);
        simd([&](auto lanes) { run_forward<Cell, lanes.value>(f, begin, end, scratch, unsaved); });
      });
    });
  });
}

void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths,
                        const RecurrentOptions& options) {
  visit_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    visit_cell(options.cell, [&]<class Cell>(Cell) {
      const Index H = w_hh.dim(1), width = Cell::kGates * H;
      const Tensor strips = packed<F>(Strided<const T>{w_hh.data<T>(), H, 1}, width, H);
      const Backward<T> b = {Extents(dy, H, lengths, options),
                             grads.dp.data<T>(),
                             grads.du.data<T>(),
                             grads.dh0.data<T>(),
                             data_or_null<T>(grads.dc0),
                             dy.data<T>(),
                             saved.states.data<T>(),
                             saved.gates.data<T>(),
                             data_or_null<F>(saved.cells),
                             strips.data<F>()};
      parallel_ranges(b.e.N, task_rows(b.e.N), [&](Index begin, Index end) {
        const Scratch<F, Cell::kGates> scratch(end - begin, H);
        simd([&](auto lanes) { run_backward<Cell, lanes.value>(b, begin, end, scratch); });
      });
    });
  });
}

}  // namespace cpu

}  // namespace limbeck
