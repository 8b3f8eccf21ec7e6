// SPDX-License-Identifier: Apache-2.0
// Images are copied with their zeros around them, so that no loop has edges; a tile of neighbouring
// output pixels times a few vectors of output channels stays in registers.
#include <limbeck/kernels/direct_conv2d.h>

#include <algorithm>
#include <memory>

#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/transpose.h>

namespace limbeck::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kPixels = 8;         // of a tile
constexpr Index kMaxVector = 16;     // channels of output are padded to a multiple of it
constexpr Index kBandPixels = 1024;  // of output, worked on per task

Index round_up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

template <class T>
std::shared_ptr<T> buffer(Index elements) {
  return std::static_pointer_cast<T>(
      pool_allocate(Device::cpu(), static_cast<std::size_t>(elements) * sizeof(T)));
}

// One convolution, in pixels of the padded image.
struct Geometry {
  Index images, height, width, channels, kernel_height, kernel_width, outputs, out_height,
      out_width;
  Index stride, padding, dilation;
  Index padded_width, padded_outputs, band;  // rows of output per task
  bool relu = false;

  Geometry(const Shape& x, Index kh, Index kw, const Shape& y, Index stride_, Index padding_,
           Index dilation_)
      : images(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        kernel_height(kh),
        kernel_width(kw),
        outputs(y[3]),
        out_height(y[1]),
        out_width(y[2]),
        stride(stride_),
        padding(padding_),
        dilation(dilation_),
        // A whole tile may read beyond the last output of a row.
        padded_width((round_up(y[2], kPixels) - 1) * stride_ + dilation_ * (kw - 1) + 1),
        padded_outputs(round_up(y[3], kMaxVector)),
        band(std::clamp<Index>(kBandPixels / std::max<Index>(y[2], 1), 1, y[1])) {}

  Index row() const { return padded_width * channels; }  // elements
  Index bands() const { return (out_height + band - 1) / band; }
  Index padded_rows(Index rows) const {
    return (rows - 1) * stride + dilation * (kernel_height - 1) + 1;
  }
  Index columns() const { return kernel_height * kernel_width * channels; }
};

// The rows of an image that output rows [i0, i0 + rows) read.
template <class T>
[[gnu::always_inline]] inline void pad_rows(T* to, const T* image, const Geometry& g, Index i0,
                                            Index rows) {
  const Index left = std::min(g.padding, g.padded_width) * g.channels;
  const Index copied = std::clamp<Index>(g.padded_width - g.padding, 0, g.width) * g.channels;
  for (Index r = 0; r < g.padded_rows(rows); ++r, to += g.row()) {
    const Index h = i0 * g.stride - g.padding + r;
    const bool inside = 0 <= h && h < g.height;
    const T* from = image + h * g.width * g.channels;
    const Index end = inside ? left + copied : 0;
    for (Index k = 0; k < std::min(left, end); ++k) to[k] = T(0);
    for (Index k = left; k < end; ++k) to[k] = from[k - left];
    for (Index k = end; k < g.row(); ++k) to[k] = T(0);
  }
}

// out (P pixels, C channels) = the chains over (kh, kw, c); P inputs lie `next` elements apart.
template <class T, int P, int C>
[[gnu::always_inline]] inline void correlate_tile(T* out, Index out_row, const T* x, const T* wt,
                                                  const Geometry& g, Index pixels, Index width) {
  T acc[P][C] = {};
  const Index next = g.stride * g.channels;
  const Index run = g.dilation == 1 ? g.kernel_width * g.channels : g.channels;
  const Index runs = g.dilation == 1 ? 1 : g.kernel_width;
  for (Index kh = 0; kh < g.kernel_height; ++kh)
    for (Index kw = 0; kw < runs; ++kw) {
      const T* from = x + kh * g.dilation * g.row() + kw * g.dilation * g.channels;
      for (Index k = 0; k < run; ++k, wt += g.padded_outputs)
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          const T value = from[p * next + k];
#pragma omp simd
          for (int c = 0; c < C; ++c) acc[p][c] = math::fma(value, wt[c], acc[p][c]);
        }
    }
  if (pixels == P && width == C) {
    for (int p = 0; p < P; ++p)
      for (int c = 0; c < C; ++c) out[p * out_row + c] = acc[p][c];
  } else {
    for (Index p = 0; p < pixels; ++p)
      for (Index c = 0; c < width; ++c) out[p * out_row + c] = acc[p][c];
  }
}

// A row of output, `width` <= P pixels at a time; V: elements of a vector.
template <class T, int V, int P>
[[gnu::always_inline]] inline void correlate_tiles(T* out, const T* x, const T* wt,
                                                   const Geometry& g, Index width) {
  for (Index o = 0; o < g.outputs;) {
    const Index left = g.outputs - o;
    for (Index j = 0; j < g.out_width; j += width) {
      T* to = out + j * g.outputs + o;
      const T* from = x + j * g.stride * g.channels;
      const Index pixels = std::min(width, g.out_width - j);
      if (left > V)
        correlate_tile<T, P, 2 * V>(to, g.outputs, from, wt + o, g, pixels,
                                    std::min<Index>(left, 2 * V));
      else
        correlate_tile<T, P, V>(to, g.outputs, from, wt + o, g, pixels, left);
    }
    o += left > V ? 2 * V : V;
  }
}

// Tiles of equal width: a row of 10 is 5 and 5 pixels, not 8 and 2.
template <class T, int V>
[[gnu::always_inline]] inline void correlate_row(T* out, const T* x, const T* wt,
                                                 const Geometry& g) {
  constexpr int P = V * sizeof(T) == 64 ? kPixels : kPixels / 2;  // 16 vectors or 32 to hold them
  const Index tiles = (g.out_width + P - 1) / P, width = (g.out_width + tiles - 1) / tiles;
  if (width > P - 1)
    correlate_tiles<T, V, P>(out, x, wt, g, width);
  else if (width > P - 2)
    correlate_tiles<T, V, P - 1>(out, x, wt, g, width);
  else if (width > P - 3)
    correlate_tiles<T, V, P - 2>(out, x, wt, g, width);
  else
    correlate_tiles<T, V, P - 3>(out, x, wt, g, width);
}

// What comes after the sums, while they are in the cache.
template <class T>
[[gnu::always_inline]] inline void finish_row(T* out, Index row, const T* bias, const Geometry& g) {
  if (bias != nullptr)
    for (T* pixel = out; pixel < out + row; pixel += g.outputs)
      for (Index o = 0; o < g.outputs; ++o) pixel[o] += bias[o];
  if (g.relu)
    for (Index i = 0; i < row; ++i) out[i] = Relu()(out[i]);
}

// y = x correlated with wt (columns, padded_outputs), plus bias; bands of rows are the tasks.
template <class T>
void correlate(Tensor& y, const Tensor& x, const T* wt, const T* bias, const Geometry& g) {
  const T* in = x.data<T>();
  T* out = y.data<T>();
  parallel_for(g.images * g.bands(), [&](Index task) {
    const Index n = task / g.bands(), i0 = task % g.bands() * g.band;
    const Index rows = std::min(g.band, g.out_height - i0), row = g.out_width * g.outputs;
    const auto padded = buffer<T>(g.padded_rows(rows) * g.row());
    T* image = padded.get();
    simd([&](auto lanes) {
      constexpr int V = lanes.value * 4 / static_cast<int>(sizeof(T));
      pad_rows(image, in + n * g.height * g.width * g.channels, g, i0, rows);
      for (Index i = 0; i < rows; ++i) {
        T* to = out + (n * g.out_height + i0 + i) * row;
        correlate_row<T, V>(to, image + i * g.stride * g.row(), wt, g);
        finish_row(to, row, bias, g);
      }
    });
  });
}

// to (columns, padded_outputs) from w (outputs, columns), in squares of V where there are whole
// ones.
template <class T, int V>
[[gnu::always_inline]] inline void transpose_weights(T* to, const T* w, const Geometry& g) {
  const Index whole_rows = g.outputs / V * V, whole = g.columns() / V * V;
  for (Index o = 0; o < whole_rows; o += V)
    for (Index k = 0; k < whole; k += V)
      transpose_square<T, V>(to + k * g.padded_outputs + o, g.padded_outputs,
                             w + o * g.columns() + k, g.columns());
  for (Index k = 0; k < g.columns(); ++k)
    for (Index o = k < whole ? whole_rows : 0; o < g.padded_outputs; ++o)
      to[k * g.padded_outputs + o] = o < g.outputs ? w[o * g.columns() + k] : T(0);
}

template <class T>
void forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
             const Conv2dOptions& o) {
  Geometry g(x.shape(), w.dim(1), w.dim(2), y.shape(), o.stride, o.padding, o.dilation);
  g.relu = o.relu;
  const auto wt = buffer<T>(g.columns() * g.padded_outputs);
  simd([&](auto lanes) {
    transpose_weights<T, lanes.value * 4 / static_cast<int>(sizeof(T))>(wt.get(), w.data<T>(), g);
  });
  correlate<T>(y, x, wt.get(), bias.defined() ? bias.data<T>() : nullptr, g);
}

// dx_h = sum over kh of dy_(h + padding - kh dilation) w_kh: dy correlated with the window turned
// around, whose padding is what the window reaches beyond the image's own.
template <class T>
void backward_data(Tensor& dx, const Tensor& dy, const Tensor& w, const Conv2dOptions& o) {
  const Index kh = w.dim(1), kw = w.dim(2), outputs = w.dim(0), channels = w.dim(3);
  const Geometry g(dy.shape(), kh, kw, dx.shape(), 1, o.dilation * (kh - 1) - o.padding,
                   o.dilation);
  const auto wt = buffer<T>(g.columns() * g.padded_outputs);
  const T* from = w.data<T>();
  T* to = wt.get();
  for (Index cell = kh * kw - 1; cell >= 0; --cell)
    for (Index i = 0; i < outputs; ++i, to += g.padded_outputs)
      for (Index c = 0; c < g.padded_outputs; ++c)
        to[c] = c < channels ? from[(i * kh * kw + cell) * channels + c] : T(0);
  correlate<T>(dx, dy, wt.get(), nullptr, g);
}

// sums (P, C) += x_k dy_o over a band of outputs: P neighbouring elements k of the window times C
// channels of dy, whose rows are padded_outputs long.
template <class T, int P, int C>
[[gnu::always_inline]] inline void add_products(T* sums, const T* x, const T* dy, const Geometry& g,
                                                Index rows) {
  T acc[P][C];
  for (int p = 0; p < P; ++p)
    for (int c = 0; c < C; ++c) acc[p][c] = sums[p * g.padded_outputs + c];
  const Index next = g.stride * g.channels;
  for (Index i = 0; i < rows; ++i) {
    const T* from = x + i * g.stride * g.row();
    for (Index j = 0; j < g.out_width; ++j, from += next, dy += g.padded_outputs)
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const T value = from[p];
#pragma omp simd
        for (int c = 0; c < C; ++c) acc[p][c] = math::fma(dy[c], value, acc[p][c]);
      }
  }
  for (int p = 0; p < P; ++p)
    for (int c = 0; c < C; ++c) sums[p * g.padded_outputs + c] = acc[p][c];
}

// `run` neighbouring elements of the window, all outputs.
template <class T, int V>
[[gnu::always_inline]] inline void add_run(T* sums, Index run, const T* x, const T* dy,
                                           const Geometry& g, Index rows) {
  constexpr int P = V * sizeof(T) == 64 ? kPixels : kPixels / 2;
  for (Index o = 0; o < g.outputs;) {
    const bool two = g.outputs - o > V;
    Index k = 0;
    for (; !two && k + 2 * P <= run; k += 2 * P)  // as many chains as with two vectors
      add_products<T, 2 * P, V>(sums + k * g.padded_outputs + o, x + k, dy + o, g, rows);
    for (; k + P <= run; k += P)
      if (two)
        add_products<T, P, 2 * V>(sums + k * g.padded_outputs + o, x + k, dy + o, g, rows);
      else
        add_products<T, P, V>(sums + k * g.padded_outputs + o, x + k, dy + o, g, rows);
    for (; k < run; ++k)
      if (two)
        add_products<T, 1, 2 * V>(sums + k * g.padded_outputs + o, x + k, dy + o, g, rows);
      else
        add_products<T, 1, V>(sums + k * g.padded_outputs + o, x + k, dy + o, g, rows);
    o += two ? 2 * V : V;
  }
}

// Rows of dy, made padded_outputs long.
template <class T>
[[gnu::always_inline]] inline void pad_outputs(T* to, const T* dy, const Geometry& g, Index rows) {
  for (Index r = 0; r < rows * g.out_width; ++r)
    for (Index o = 0; o < g.padded_outputs; ++o)
      to[r * g.padded_outputs + o] = o < g.outputs ? dy[r * g.outputs + o] : T(0);
}

// A task owns some elements of the window and walks all outputs, so each element is one chain
// however they are split; the pieces may depend on the thread count.
template <class T>
void backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                     const Conv2dOptions& opts) {
  const Geometry g(x.shape(), dw.dim(1), dw.dim(2), dy.shape(), opts.stride, opts.padding,
                   opts.dilation);
  const bool whole_rows = g.dilation == 1;
  const Index run = whole_rows ? g.kernel_width * g.channels : g.channels;
  const Index runs_per_row = whole_rows ? 1 : g.kernel_width, runs = g.kernel_height * runs_per_row;
  const T *in = x.data<T>(), *gradient = dy.data<T>();
  T* result = dw.data<T>();
  const auto memory = buffer<T>(g.columns() * g.padded_outputs);
  T* sums = memory.get();
  for (Index k = 0; k < g.columns(); ++k)
    for (Index o = 0; o < g.padded_outputs; ++o)
      sums[k * g.padded_outputs + o] =
          out == Out::add && o < g.outputs ? result[o * g.columns() + k] : T(0);
  const Index units = (run + kPixels - 1) / kPixels;  // of a run
  const Index share = (runs * units + num_threads() - 1) / num_threads();
  parallel_ranges(runs * units, share, [&](Index first, Index last) {
    const auto padded = buffer<T>(g.padded_rows(g.band) * g.row());
    const auto wide = buffer<T>(g.band * g.out_width * g.padded_outputs);
    simd([&](auto lanes) {
      constexpr int V = lanes.value * 4 / static_cast<int>(sizeof(T));
      for (Index task = 0; task < g.images * g.bands(); ++task) {
        const Index n = task / g.bands(), i0 = task % g.bands() * g.band;
        const Index rows = std::min(g.band, g.out_height - i0);
        const T* band = gradient + (n * g.out_height + i0) * g.out_width * g.outputs;
        pad_rows(padded.get(), in + n * g.height * g.width * g.channels, g, i0, rows);
        if (g.outputs != g.padded_outputs) {
          pad_outputs(wide.get(), band, g, rows);
          band = wide.get();
        }
        for (Index u = first, r, end; u < last; u = end) {
          r = u / units;
          end = std::min(last, (r + 1) * units);
          const Index k0 = u % units * kPixels, k1 = std::min(run, (end - r * units) * kPixels);
          const T* from = padded.get() + r / runs_per_row * g.dilation * g.row() +
                          r % runs_per_row * g.dilation * g.channels;
          add_run<T, V>(sums + (r * run + k0) * g.padded_outputs, k1 - k0, from + k0, band, g,
                        rows);
        }
      }
    });
  });
  for (Index o = 0; o < g.outputs; ++o)
    for (Index k = 0; k < g.columns(); ++k)
      result[o * g.columns() + k] = sums[k * g.padded_outputs + o];
}

}  // namespace

bool suits_direct(const Shape& w, const Conv2dOptions& options) {
  return options.groups == 1 && w.numel() <= 65536;
}

bool suits_direct_backward_data(const Shape& w, const Conv2dOptions& options) {
  return suits_direct(w, options) && options.stride == 1 &&
         options.padding <= options.dilation * (std::min(w[1], w[2]) - 1) && w[1] == w[2];
}

void direct_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  if (x.dtype() == DType::f64)
    forward<double>(y, x, w, bias, options);
  else
    forward<float>(y, x, w, bias, options);
}

void direct_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  if (dx.dtype() == DType::f64)
    backward_data<double>(dx, dy, w, options);
  else
    backward_data<float>(dx, dy, w, options);
}

void direct_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  if (dw.dtype() == DType::f64)
    backward_weight<double>(dw, x, dy, out, options);
  else
    backward_weight<float>(dw, x, dy, out, options);
}

}  // namespace limbeck::cpu
