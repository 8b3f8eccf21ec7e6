// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/conv2d.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/depthwise.h>
#include <limbeck/kernels/direct_conv2d.h>
#include <limbeck/kernels/gemm.h>
#include <limbeck/kernels/onednn.h>

namespace limbeck {
namespace {

// Pixels that w's extent i covers in an image.
std::int64_t reach(const Shape& w, int i, const Conv2dOptions& o) {
  return o.dilation * (w[i] - 1) + 1;
}

void check_geometry(const char* op, const Shape& x, const Shape& w, const Conv2dOptions& o) {
  LIMBECK_CHECK(o.stride >= 1 && o.padding >= 0 && o.dilation >= 1 && o.groups >= 1, op,
                ": stride is ", o.stride, ", padding ", o.padding, ", dilation ", o.dilation,
                ", groups ", o.groups, "; expected padding >= 0, the others >= 1");
  LIMBECK_CHECK(x.rank() == 4 && w.rank() == 4 && w.numel() > 0 && x[3] == w[3] * o.groups &&
                    w[0] % o.groups == 0,
                op, ": x has shape ", x, ", w ", w, ", groups ", o.groups,
                "; expected (N,H,W,C) and (O,KH,KW,C/groups), O a multiple of groups");
  LIMBECK_CHECK(x[1] + 2 * o.padding >= reach(w, 1, o) && x[2] + 2 * o.padding >= reach(w, 2, o),
                op, ": x has shape ", x, " with padding ", o.padding, ", w ", w, " with dilation ",
                o.dilation, "; expected images as large as w");
}

// x or dx, w or dw, y or dy.
void check(const char* op, const Tensor& x, const Tensor& w, const Tensor& y,
           const Conv2dOptions& o) {
  LIMBECK_CHECK(x.defined() && w.defined() && y.defined(), op, ": a tensor is undefined");
  check_geometry(op, x.shape(), w.shape(), o);
  LIMBECK_CHECK(is_floating(x.dtype()) && w.dtype() == x.dtype() && y.dtype() == x.dtype(), op,
                ": x is ", x.dtype(), ", w ", w.dtype(), ", y ", y.dtype(),
                "; expected one floating dtype");
  LIMBECK_CHECK(w.device() == x.device() && y.device() == x.device(), op, ": x is on ", x.device(),
                ", w on ", w.device(), ", y on ", y.device(), "; expected one device");
  const Shape expected = conv2d_output_shape(x.shape(), w.shape(), o);
  LIMBECK_CHECK(y.shape() == expected, op, ": y has shape ", y.shape(), ", x ", x.shape(), ", w ",
                w.shape(), "; expected y ", expected);
}

void check_bias(const Tensor& bias, const Tensor& w) {
  LIMBECK_CHECK(
      bias.shape() == Shape({w.dim(0)}) && bias.dtype() == w.dtype() && bias.device() == w.device(),
      "conv2d_forward: bias is ", bias.dtype(), bias.shape(), " on ", bias.device(), ", w ",
      w.dtype(), w.shape(), " on ", w.device(), "; expected bias like w, (O)");
}

}  // namespace

Shape conv2d_output_shape(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  check_geometry("conv2d_output_shape", x, w, o);
  const auto extent = [&](int i) { return (x[i] + 2 * o.padding - reach(w, i, o)) / o.stride + 1; };
  return {x[0], extent(1), extent(2), w[0]};
}

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  check("conv2d_forward", x, w, y, options);
  if (bias.defined()) check_bias(bias, w);
  LIMBECK_DISPATCH(x.device(), conv2d_forward(y, x, w, bias, options));
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  check("conv2d_backward_data", dx, w, dy, options);
  LIMBECK_DISPATCH(dx.device(), conv2d_backward_data(dx, dy, w, options));
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  check("conv2d_backward_weight", x, dw, dy, options);
  LIMBECK_DISPATCH(x.device(), conv2d_backward_weight(dw, x, dy, out, options));
}

namespace cpu {
namespace {

using Index = std::int64_t;

// One group's convolution as a product: a row is an output pixel (n,oh,ow), a column an element
// (kh,kw,c) of its window. Columns come in runs of neighbours in the image's row of `width`
// elements: whole rows of the window, or its cells where gaps or other groups lie between those.
struct Geometry {
  Index height, width, channels, depth, run, runs, columns, outputs, out_height, out_width, rows;
  Conv2dOptions options;

  Geometry(const Tensor& x, const Tensor& w, const Tensor& y, const Conv2dOptions& o)
      : height(x.dim(1)),
        width(x.dim(2) * x.dim(3)),
        channels(x.dim(3)),
        depth(w.dim(3)),
        run(o.dilation == 1 && o.groups == 1 ? w.dim(2) * depth : depth),
        runs(w.dim(2) * depth / run),
        columns(w.dim(1) * w.dim(2) * depth),
        outputs(w.dim(0) / o.groups),
        out_height(y.dim(1)),
        out_width(y.dim(2)),
        rows(y.dim(0) * y.dim(1) * y.dim(2)),
        options(o) {}
  Index all_outputs() const { return outputs * options.groups; }
};

constexpr Index kBlockElements = 65536;  // of the unfolded matrix, at once per task

Index block_rows(const Geometry& g) {
  return std::clamp<Index>(kBlockElements / g.columns / 48 * 48, 48, 6144);
}

// visit(row, at, begin, inside, outside, end) for rows [r0, r1) and each window row's share of
// columns [k0, k1): columns [begin, end), of which [inside, outside) lie in the image and column k
// is x[at + k].
template <class Visit>
[[gnu::always_inline]] inline void for_each_run(const Geometry& g, Index r0, Index r1, Index k0,
                                                Index k1, Visit&& visit) {
  Index j = r0 % g.out_width, i = r0 / g.out_width % g.out_height;
  Index n = r0 / g.out_width / g.out_height;
  const Index first = k0 / g.run;
  for (Index r = r0; r < r1; ++r) {
    const Index left = (j * g.options.stride - g.options.padding) * g.channels;
    Index kh = first / g.runs, kw = first % g.runs;
    for (Index a = first; a * g.run < k1; ++a) {
      const Index h = i * g.options.stride - g.options.padding + kh * g.options.dilation;
      const Index begin = std::max(k0, a * g.run), end = std::min(k1, (a + 1) * g.run);
      const Index offset = left + kw * g.options.dilation * g.channels - a * g.run;
      const Index inside = 0 <= h && h < g.height ? std::clamp(-offset, begin, end) : end;
      const Index outside = std::clamp(g.width - offset, inside, end);
      visit(r - r0, (n * g.height + h) * g.width + offset, begin, inside, outside, end);
      if (++kw == g.runs) {
        kw = 0;
        ++kh;
      }
    }
    if (++j == g.out_width) {
      j = 0;
      if (++i == g.out_height) {
        i = 0;
        ++n;
      }
    }
  }
}

// Rows [r0, r1), columns [k0, k1) of the unfolded x.
template <class T>
void unfold(T* out, const T* x, const Geometry& g, Index r0, Index r1, Index k0, Index k1) {
  simd([&](auto) {
    for_each_run(g, r0, r1, k0, k1,
                 [&](Index row, Index at, Index begin, Index inside, Index outside, Index end) {
                   const Index to = row * (k1 - k0) - k0;
                   for (Index k = begin; k < inside; ++k) out[to + k] = T(0);
                   for (Index k = inside; k < outside; ++k) out[to + k] = x[at + k];
                   for (Index k = outside; k < end; ++k) out[to + k] = T(0);
                 });
  });
}

// Adds rows [r0, r1) of the unfolded gradient to dx.
template <class T>
void fold(T* dx, const T* in, const Geometry& g, Index r0, Index r1) {
  simd([&](auto) {
    for_each_run(g, r0, r1, 0, g.columns,
                 [&](Index row, Index at, Index, Index inside, Index outside, Index) {
                   const T* source = in + row * g.columns;
                   for (Index k = inside; k < outside; ++k) dx[at + k] += source[k];
                 });
  });
}

template <class T>
std::shared_ptr<T> buffer(Index elements) {
  return std::static_pointer_cast<T>(
      pool_allocate(Device::cpu(), static_cast<std::size_t>(elements) * sizeof(T)));
}

// The weights of all groups, transposed so that no block has to: (groups, KH KW C/groups,
// O/groups).
template <class T>
std::shared_ptr<T> transpose_weights(const T* w, const Geometry& g) {
  auto wt = buffer<T>(g.columns * g.all_outputs());
  T* to = wt.get();
  for (Index group = 0; group < g.options.groups; ++group, to += g.columns * g.outputs)
    for (Index o = 0; o < g.outputs; ++o, w += g.columns)
      for (Index k = 0; k < g.columns; ++k) to[k * g.outputs + o] = w[k];
  return wt;
}

template <class T>
void forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
             const Conv2dOptions& options) {
  const Geometry g(x, w, y, options);
  const auto wt = transpose_weights(w.data<T>(), g);
  const T *in = x.data<T>(), *b = bias.defined() ? bias.data<T>() : nullptr;
  T* out = y.data<T>();
  const Index all = g.all_outputs();
  parallel_ranges(g.rows, block_rows(g), [&](Index begin, Index end) {
    const auto unfolded = buffer<T>((end - begin) * g.columns);
    for (Index group = 0, first = 0; group < options.groups; ++group, first += g.outputs) {
      unfold(unfolded.get(), in + group * g.depth, g, begin, end, 0, g.columns);
      gemm<T>(end - begin, g.outputs, g.columns, {unfolded.get(), g.columns, 1},
              {wt.get() + first * g.columns, g.outputs, 1}, out + begin * all + first, all, false,
              {b == nullptr ? nullptr : b + first, options.relu});
    }
  });
}

// dy w, then every window adds its share to the image it came from: images are the tasks.
template <class T>
void backward_data(Tensor& dx, const Tensor& dy, const Tensor& w, const Conv2dOptions& options) {
  const Geometry g(dx, w, dy, options);
  const T *gradient = dy.data<T>(), *weights = w.data<T>();
  T* out = dx.data<T>();
  const Index block = block_rows(g), pixels = g.out_height * g.out_width, all = g.all_outputs();
  const Index image = g.height * g.width;
  parallel_ranges(dx.dim(0), std::max<Index>(1, block / pixels), [&](Index n0, Index n1) {
    std::fill(out + n0 * image, out + n1 * image, T(0));
    const auto unfolded = buffer<T>(block * g.columns);
    for (Index r = n0 * pixels, last = n1 * pixels; r < last; r += block) {
      const Index end = std::min(last, r + block);
      for (Index group = 0, first = 0; group < options.groups; ++group, first += g.outputs) {
        gemm<T>(end - r, g.columns, g.outputs, {gradient + r * all + first, all, 1},
                {weights + first * g.columns, g.columns, 1}, unfolded.get(), g.columns, false);
        fold(out + group * g.depth, unfolded.get(), g, r, end);
      }
    }
  });
}

// dy^T unfolded(x). A task owns some columns of a group and walks all rows, which keeps one chain
// per element however the columns are split: the one loop here whose pieces may depend on the
// thread count.
template <class T>
void backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out_mode,
                     const Conv2dOptions& options) {
  const Geometry g(x, dw, dy, options);
  const T *in = x.data<T>(), *gradient = dy.data<T>();
  T* out = dw.data<T>();
  const Index all = g.all_outputs();
  const Index share = (options.groups * g.columns / num_threads() + 31) / 32 * 32;
  const Index grain = std::max<Index>(share, 32), pieces = (g.columns + grain - 1) / grain;
  const Index block = 768;
  parallel_for(options.groups * pieces, [&](Index task) {
    const Index group = task / pieces, first = group * g.outputs;
    const Index k0 = task % pieces * grain, k1 = std::min(g.columns, k0 + grain);
    const auto unfolded = buffer<T>(block * (k1 - k0));
    for (Index r = 0; r == 0 || r < g.rows; r += block) {  // once for no rows: writes zeros
      const Index end = std::min(g.rows, r + block);
      unfold(unfolded.get(), in + group * g.depth, g, r, end, k0, k1);
      gemm<T>(g.outputs, k1 - k0, end - r, {gradient + r * all + first, 1, all},
              {unfolded.get(), k1 - k0, 1}, out + first * g.columns + k0, g.columns,
              r > 0 || out_mode == Out::add);
    }
  });
}

bool is_half(const Tensor& t) { return dtype_size(t.dtype()) == 2; }

Tensor widen(const Tensor& t) { return t.defined() ? t.to(DType::f32) : t; }

}  // namespace

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  if (is_half(x)) {
    Tensor wide = Tensor::empty(y.shape());
    cpu::conv2d_forward(wide, widen(x), widen(w), widen(bias), options);
    return y.copy_from(wide.to(y.dtype()));
  }
  if (math_mode() == MathMode::fast && onednn::conv2d_forward(y, x, w, bias, options)) return;
  if (is_depthwise(w.shape(), options)) {
    depthwise_forward(y, x, w, bias, options);
    if (options.relu) cpu::activation_forward(y, y, Activation::relu);
    return;
  }
  if (suits_direct(w.shape(), options)) return direct_forward(y, x, w, bias, options);
  if (x.dtype() == DType::f64)
    forward<double>(y, x, w, bias, options);
  else
    forward<float>(y, x, w, bias, options);
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  if (is_half(dx)) {
    Tensor wide = Tensor::empty(dx.shape());
    cpu::conv2d_backward_data(wide, widen(dy), widen(w), options);
    return dx.copy_from(wide.to(dx.dtype()));
  }
  if (math_mode() == MathMode::fast && onednn::conv2d_backward_data(dx, dy, w, options)) return;
  if (is_depthwise(w.shape(), options)) return depthwise_backward_data(dx, dy, w, options);
  if (suits_direct_backward_data(w.shape(), options))
    return direct_backward_data(dx, dy, w, options);
  if (dx.dtype() == DType::f64)
    backward_data<double>(dx, dy, w, options);
  else
    backward_data<float>(dx, dy, w, options);
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  if (is_half(dw)) {
    Tensor wide = widen(dw);
    cpu::conv2d_backward_weight(wide, widen(x), widen(dy), out, options);
    return dw.copy_from(wide.to(dw.dtype()));
  }
  if (math_mode() == MathMode::fast && onednn::conv2d_backward_weight(dw, x, dy, out, options))
    return;
  if (is_depthwise(dw.shape(), options)) return depthwise_backward_weight(dw, x, dy, out, options);
  if (suits_direct(dw.shape(), options)) return direct_backward_weight(dw, x, dy, out, options);
  if (dw.dtype() == DType::f64)
    backward_weight<double>(dw, x, dy, out, options);
  else
    backward_weight<float>(dw, x, dy, out, options);
}

}  // namespace cpu

}  // namespace limbeck
