// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/depthwise.h>

#include <algorithm>

#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kLanes = 16;  // channels in registers at once
constexpr int kPixels = 4;    // neighbours that share a load of the weights

// Along one axis, cell k of output i reads input (i * scale + offset + k * step) / divisor, where
// that is a whole number inside the image.
struct Axis {
  Index scale, offset, step, divisor, inputs, outputs, cells;

  Index input(Index i, Index k) const {
    const Index at = i * scale + offset + k * step;
    return at < 0 || at % divisor != 0 || at / divisor >= inputs ? -1 : at / divisor;
  }
  // Whether outputs i to last read an input for each cell.
  bool inside(Index i, Index last) const {
    const Index reach = (cells - 1) * step;
    return divisor == 1 && i * scale + offset + std::min<Index>(reach, 0) >= 0 &&
           last * scale + offset + std::max<Index>(reach, 0) < inputs && last < outputs;
  }
};

Axis forward_axis(const Tensor& x, const Tensor& w, const Tensor& y, int i,
                  const Conv2dOptions& o) {
  return {o.stride, -o.padding, o.dilation, 1, x.dim(i), y.dim(i), w.dim(i)};
}

Axis backward_axis(const Tensor& dx, const Tensor& w, const Tensor& dy, int i,
                   const Conv2dOptions& o) {
  return {1, o.padding, -o.dilation, o.stride, dy.dim(i), dx.dim(i), w.dim(i)};
}

// One cell of a window: kLanes products at a time.
template <class T>
struct Tap {
  const T *x, *w;
};

// out = bias + sum over the taps, for P pixels whose inputs lie `next` elements apart.
template <class T, int P, class Lanes>
[[gnu::always_inline]] inline void sum_taps(T* out, const Tap<T>* taps, Index count, Index c,
                                            Lanes lanes, const T* bias, Index channels,
                                            Index next) {
  T sum[P][kLanes] = {};
  for (Index k = 0; k < count; ++k) {
    const T *x = taps[k].x + c, *w = taps[k].w + c;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p)
#pragma omp simd
      for (Index l = 0; l < lanes; ++l) sum[p][l] = math::fma(x[p * next + l], w[l], sum[p][l]);
  }
  for (int p = 0; p < P; ++p)
    for (Index l = 0; l < lanes; ++l)
      out[p * channels + c + l] = bias == nullptr ? sum[p][l] : sum[p][l] + bias[c + l];
}

template <class T, int P>
[[gnu::always_inline]] inline void sum_taps(T* out, const Tap<T>* taps, Index count, const T* bias,
                                            Index channels, Index next) {
  Index c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    sum_taps<T, P>(out, taps, count, c, std::integral_constant<Index, kLanes>(), bias, channels,
                   next);
  if (c < channels) sum_taps<T, P>(out, taps, count, c, channels - c, bias, channels, next);
}

// (C,cells) as (cells,C).
Tensor transpose_weights(const Tensor& w) {
  const Index channels = w.dim(0), cells = w.dim(1) * w.dim(2);
  Tensor t = Tensor::empty({cells, channels}, w.dtype());
  visit_floating(w.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = w.data<T>();
    T* to = t.data<T>();
    for (Index c = 0; c < channels; ++c)
      for (Index k = 0; k < cells; ++k) to[k * channels + c] = from[c * cells + k];
  });
  return t;
}

// The taps of output (i,j) of an image, in order of (kh, kw).
template <class T>
[[gnu::always_inline]] inline Index find_taps(Tap<T>* taps, const T* image, const T* wt,
                                              const Axis& rows, const Axis& columns, Index channels,
                                              Index i, Index j) {
  Index count = 0;
  for (Index kh = 0; kh < rows.cells; ++kh) {
    const Index h = rows.input(i, kh);
    if (h < 0) continue;
    for (Index kw = 0; kw < columns.cells; ++kw)
      if (const Index at = columns.input(j, kw); at >= 0)
        taps[count++] = {image + (h * columns.inputs + at) * channels,
                         wt + (kh * columns.cells + kw) * channels};
  }
  return count;
}

template <class T>
void correlate(Tensor& out, const Tensor& in, const Tensor& w, const Tensor& bias, const Axis& rows,
               const Axis& columns) {
  const Index channels = w.dim(0), image = rows.inputs * columns.inputs * channels;
  const Index row = columns.outputs * channels, cells = rows.cells * columns.cells;
  const Tensor transposed = transpose_weights(w);
  const T *x = in.data<T>(), *wt = transposed.data<T>();
  const T* b = bias.defined() ? bias.data<T>() : nullptr;
  T* y = out.data<T>();
  parallel_ranges(
      out.dim(0) * rows.outputs, std::max<Index>(1, 32768 / std::max<Index>(row, 1)),
      [&](Index begin, Index end) {
        const Tensor memory =
            Tensor::empty({cells * static_cast<Index>(sizeof(Tap<T>))}, DType::u8);
        auto* taps = static_cast<Tap<T>*>(const_cast<void*>(memory.raw()));
        simd([&](auto) {
          for (Index r = begin; r < end; ++r)
            for (Index j = 0, pixels; j < columns.outputs; j += pixels) {
              const Index count = find_taps(taps, x + r / rows.outputs * image, wt, rows, columns,
                                            channels, r % rows.outputs, j);
              T* to = y + r * row + j * channels;
              pixels = columns.inside(j, j + kPixels - 1) ? kPixels : 1;
              if (pixels == 1)
                sum_taps<T, 1>(to, taps, count, b, channels, 0);
              else
                sum_taps<T, kPixels>(to, taps, count, b, channels, columns.scale * channels);
            }
        });
      });
}

// What a task does of the weight gradient: some channels, of which `sum` (cells, width) holds the
// chains.
template <class T>
struct WeightTask {
  T* sum;
  Index width, channels, x_step,
      x_cell;  // elements from an output's input to the next, and a cell's
};

// sum of K cells += dy x over `count` outputs of a row.
template <class T, int K, class Lanes>
[[gnu::always_inline]] inline void add_products(const WeightTask<T>& t, T* sum, const T* x,
                                                const T* dy, Index count, Lanes lanes) {
  T acc[K][kLanes];
  for (int k = 0; k < K; ++k)
    for (Index l = 0; l < lanes; ++l) acc[k][l] = sum[k * t.width + l];
  for (Index j = 0; j < count; ++j, x += t.x_step, dy += t.channels)
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k)
#pragma omp simd
      for (Index l = 0; l < lanes; ++l)
        acc[k][l] = math::fma(dy[l], x[k * t.x_cell + l], acc[k][l]);
  for (int k = 0; k < K; ++k)
    for (Index l = 0; l < lanes; ++l) sum[k * t.width + l] = acc[k][l];
}

// Outputs whose cell k lies inside the image.
struct Range {
  Index begin, end;
};
Range valid_outputs(const Axis& a, Index k) {
  const auto first_from = [&](Index input) {  // the first output to read `input` or later
    const Index at = input - a.offset - k * a.step;
    return std::clamp<Index>(at <= 0 ? 0 : (at + a.scale - 1) / a.scale, 0, a.outputs);
  };
  return {first_from(0), first_from(a.inputs)};
}

// One row of outputs for one row of the window: K cells at a time where they all are inside, the
// ends cell by cell; each element's chain stays in order of ow.
template <class T, int K, class Lanes>
[[gnu::always_inline]] inline void add_row(const WeightTask<T>& t, const Axis& columns, Index kw,
                                           T* sum, const T* x, const T* dy, Lanes lanes) {
  const auto add = [&](auto cells, int k, Index from, Index to) {
    if (from >= to) return;
    const Index at = from * columns.scale + columns.offset + (kw + k) * columns.step;
    add_products<T, cells.value>(t, sum + k * t.width, x + at * t.channels, dy + from * t.channels,
                                 to - from, lanes);
  };
  Range all = {0, columns.outputs};
  for (int k = 0; k < K; ++k) {
    const Range r = valid_outputs(columns, kw + k);
    all = {std::max(all.begin, r.begin), std::min(all.end, r.end)};
  }
  all.end = std::max(all.begin, all.end);
  for (int k = 0; k < K; ++k) {
    const Range r = valid_outputs(columns, kw + k);
    add(std::integral_constant<int, 1>(), k, r.begin, std::min(r.end, all.begin));
  }
  add(std::integral_constant<int, K>(), 0, all.begin, all.end);
  for (int k = 0; k < K; ++k) {
    const Range r = valid_outputs(columns, kw + k);
    add(std::integral_constant<int, 1>(), k, std::max(r.begin, all.end), r.end);
  }
}

template <class T, class Lanes>
[[gnu::always_inline]] inline void add_window_row(const WeightTask<T>& t, const Axis& columns,
                                                  T* sum, const T* x, const T* dy, Lanes lanes) {
  Index kw = 0;
  for (; kw + 3 <= columns.cells; kw += 3)
    add_row<T, 3>(t, columns, kw, sum + kw * t.width, x, dy, lanes);
  for (; kw < columns.cells; ++kw) add_row<T, 1>(t, columns, kw, sum + kw * t.width, x, dy, lanes);
}

// All outputs (n,i,.) for the task's channels, which x and dy begin with.
template <class T>
[[gnu::always_inline]] inline void add_output_row(const WeightTask<T>& t, const Axis& rows,
                                                  const Axis& columns, const T* image, const T* dy,
                                                  Index i) {
  for (Index kh = 0; kh < rows.cells; ++kh) {
    const Index h = rows.input(i, kh);
    if (h < 0) continue;
    const T* x = image + h * columns.inputs * t.channels;
    T* sum = t.sum + kh * columns.cells * t.width;
    Index c = 0;
    for (; c + kLanes <= t.width; c += kLanes)
      add_window_row(t, columns, sum + c, x + c, dy + c, std::integral_constant<Index, kLanes>());
    if (c < t.width) add_window_row(t, columns, sum + c, x + c, dy + c, t.width - c);
  }
}

// A task owns some channels and walks all outputs, so however they are split each element is one
// chain; the pieces may depend on the thread count.
template <class T>
void backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out, const Axis& rows,
                     const Axis& columns) {
  const Index channels = dw.dim(0), cells = rows.cells * columns.cells;
  const T *in = x.data<T>(), *gradient = dy.data<T>();
  T* result = dw.data<T>();
  const Index share = (channels / num_threads() + kLanes - 1) / kLanes * kLanes;
  parallel_ranges(channels, std::max(share, kLanes), [&](Index c0, Index c1) {
    const Index width = c1 - c0;
    Tensor memory = Tensor::empty({cells, width}, dw.dtype());
    T* sum = memory.data<T>();
    for (Index k = 0; k < cells; ++k)
      for (Index c = 0; c < width; ++c)
        sum[k * width + c] = out == Out::add ? result[(c0 + c) * cells + k] : T(0);
    const WeightTask<T> task = {sum, width, channels, columns.scale * channels,
                                columns.step * channels};
    simd([&](auto) {
      for (Index r = 0; r < dy.dim(0) * rows.outputs; ++r)
        add_output_row(task, rows, columns,
                       in + r / rows.outputs * rows.inputs * columns.inputs * channels + c0,
                       gradient + r * columns.outputs * channels + c0, r % rows.outputs);
    });
    for (Index k = 0; k < cells; ++k)
      for (Index c = 0; c < width; ++c) result[(c0 + c) * cells + k] = sum[k * width + c];
  });
}

}  // namespace

void depthwise_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                       const Conv2dOptions& o) {
  const Axis rows = forward_axis(x, w, y, 1, o), columns = forward_axis(x, w, y, 2, o);
  if (x.dtype() == DType::f64)
    correlate<double>(y, x, w, bias, rows, columns);
  else
    correlate<float>(y, x, w, bias, rows, columns);
}

// The input of dx's element: y's whose window covers it.
void depthwise_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                             const Conv2dOptions& o) {
  const Axis rows = backward_axis(dx, w, dy, 1, o), columns = backward_axis(dx, w, dy, 2, o);
  if (dx.dtype() == DType::f64)
    correlate<double>(dx, dy, w, Tensor(), rows, columns);
  else
    correlate<float>(dx, dy, w, Tensor(), rows, columns);
}

void depthwise_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                               const Conv2dOptions& o) {
  const Axis rows = forward_axis(x, dw, dy, 1, o), columns = forward_axis(x, dw, dy, 2, o);
  if (dw.dtype() == DType::f64)
    backward_weight<double>(dw, x, dy, out, rows, columns);
  else
    backward_weight<float>(dw, x, dy, out, rows, columns);
}

}  // namespace limbeck::cpu
