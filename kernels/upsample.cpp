// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/upsample.h>

#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/pixels.h>
#include <limbeck/kernels/upsample_axis.h>

namespace limbeck {
namespace {

Shape output_shape(const char* op, const Shape& x, const UpsampleOptions& o) {
  for (const ScaleRatio& r : {o.height, o.width})
    LIMBECK_CHECK(r.numerator >= 1 && r.denominator >= 1, op, ": scale is ", r.numerator, "/",
                  r.denominator, "; expected both >= 1");
  LIMBECK_CHECK(x.rank() == 4, op, ": x has shape ", x, "; expected (N,H,W,C)");
  const std::int64_t height = x[1] * o.height.numerator / o.height.denominator;
  const std::int64_t width = x[2] * o.width.numerator / o.width.denominator;
  LIMBECK_CHECK(height >= 1 && width >= 1, op, ": x has shape ", x, ", which becomes ", height, "x",
                width, "; expected at least 1x1");
  return {x[0], height, width, x[3]};
}

// x or dx, y or dy.
void check(const char* op, const Tensor& x, const Tensor& y, const UpsampleOptions& o) {
  LIMBECK_CHECK(x.defined() && y.defined(), op, ": a tensor is undefined");
  const Shape expected = output_shape(op, x.shape(), o);
  LIMBECK_CHECK(y.shape() == expected, op, ": y has shape ", y.shape(), ", x ", x.shape(),
                "; expected y ", expected);
  LIMBECK_CHECK(is_floating(x.dtype()) && y.dtype() == x.dtype(), op, ": x is ", x.dtype(), ", y ",
                y.dtype(), "; expected one floating dtype");
  LIMBECK_CHECK(y.device() == x.device(), op, ": x is on ", x.device(), ", y on ", y.device(),
                "; expected one device");
}

}  // namespace

Shape upsample_output_shape(const Shape& x, const UpsampleOptions& options) {
  return output_shape("upsample_output_shape", x, options);
}

void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& options) {
  check("upsample_forward", x, y, options);
  LIMBECK_DISPATCH(x.device(), upsample_forward(y, x, options));
}

void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& options) {
  check("upsample_backward", dx, dy, options);
  LIMBECK_DISPATCH(dx.device(), upsample_backward(dx, dy, options));
}

namespace cpu {
namespace {

UpsampleAxis axis(const Tensor& x, const Tensor& y, int i, const UpsampleOptions& o) {
  const ScaleRatio& r = i == 1 ? o.height : o.width;
  return {x.dim(i), y.dim(i), r.numerator, r.denominator, o.mode == UpsampleMode::bilinear};
}

// Divisions are slow, so each axis is worked out once.
std::vector<UpsampleTap> taps_of(const UpsampleAxis& a) {
  std::vector<UpsampleTap> taps;
  for (Index o = 0; o < a.outputs; ++o) taps.push_back(upsample_tap(a, o));
  return taps;
}

// Weight of input i in the outputs that may read it, one after another for all i.
template <class C>
struct Readers {
  std::vector<Range> outputs;      // of input i
  std::vector<std::size_t> first;  // of its weights
  std::vector<C> weights;

  explicit Readers(const UpsampleAxis& a) {
    const std::vector<UpsampleTap> taps = taps_of(a);
    for (Index i = 0; i < a.inputs; ++i) {
      const UpsampleRange r = upsample_readers(a, i);
      outputs.push_back({r.begin, r.end});
      first.push_back(weights.size());
      for (Index o = r.begin; o < r.end; ++o)
        weights.push_back(upsample_weight<C>(a, taps[static_cast<std::size_t>(o)], i));
    }
  }
};

template <class T>
void nearest(Tensor& y, const Tensor& x, const UpsampleAxis& rows, const UpsampleAxis& columns) {
  const std::vector<UpsampleTap> down = taps_of(rows), across = taps_of(columns);
  const UpsampleTap *is = down.data(), *js = across.data();
  const Index channels = x.dim(3);
  T* out = y.data<T>();
  const T* in = x.data<T>();
  for_each_pixel(y.dim(0) * rows.outputs, columns.outputs, columns.outputs * channels,
                 [=](Index row, Index j, Index pixel) {
                   const Index h = row / rows.outputs * rows.inputs + is[row % rows.outputs].first;
                   const T* from = in + (h * columns.inputs + js[j].first) * channels;
                   T* to = out + pixel * channels;
                   for (Index c = 0; c < channels; ++c) to[c] = from[c];
                 });
}

template <class T>
void bilinear(Tensor& y, const Tensor& x, const UpsampleAxis& rows, const UpsampleAxis& columns) {
  using C = ComputeType<T>;
  const std::vector<UpsampleTap> down = taps_of(rows), across = taps_of(columns);
  const UpsampleTap *is = down.data(), *js = across.data();
  const Index channels = x.dim(3), line = columns.inputs * channels;
  T* out = y.data<T>();
  const T* in = x.data<T>();
  for_each_pixel(y.dim(0) * rows.outputs, columns.outputs, columns.outputs * channels,
                 [=](Index row, Index j, Index pixel) {
                   const UpsampleTap &h = is[row % rows.outputs], &w = js[j];
                   const C v = static_cast<C>(h.rest) / static_cast<C>(2 * rows.numerator);
                   const C u = static_cast<C>(w.rest) / static_cast<C>(2 * columns.numerator);
                   const T* image = in + row / rows.outputs * rows.inputs * line;
                   const T *left = image + w.first * channels, *right = image + w.second * channels;
                   T* to = out + pixel * channels;
                   const Index top = h.first * line, bottom = h.second * line;
#pragma omp simd
                   for (Index c = 0; c < channels; ++c) {
                     const C above = (C(1) - u) * static_cast<C>(left[top + c]) +
                                     u * static_cast<C>(right[top + c]);
                     const C below = (C(1) - u) * static_cast<C>(left[bottom + c]) +
                                     u * static_cast<C>(right[bottom + c]);
                     to[c] = static_cast<T>((C(1) - v) * above + v * below);
                   }
                 });
}

}  // namespace

void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& o) {
  const UpsampleAxis rows = axis(x, y, 1, o), columns = axis(x, y, 2, o);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (o.mode == UpsampleMode::nearest)
      nearest<T>(y, x, rows, columns);
    else
      bilinear<T>(y, x, rows, columns);
  });
}

void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& o) {
  const UpsampleAxis rows = axis(dx, dy, 1, o), columns = axis(dx, dy, 2, o);
  const Index channels = dx.dim(3);
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    const Readers<C> down(rows), across(columns);
    const Range *is = down.outputs.data(), *js = across.outputs.data();
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    for_each_pixel(dx.dim(0) * rows.inputs, columns.inputs, columns.outputs * channels,
                   [&](Index row, Index w, Index pixel) {
                     const Index h = row % rows.inputs;
                     const C* v = down.weights.data() + down.first.data()[h];
                     const C* u = across.weights.data() + across.first.data()[w];
                     gather_windows(out + pixel * channels, is[h], js[w],
                                    row / rows.inputs * rows.outputs * columns.outputs,
                                    columns.outputs, channels,
                                    [&](C* sum, Index at, Index i, Index j, auto n) {
                                      const C weight = v[i - is[h].begin] * u[j - js[w].begin];
#pragma omp simd
                                      for (Index c = 0; c < n; ++c)
                                        sum[c] += weight * static_cast<C>(in[at + c]);
                                    });
                   });
  });
}

}  // namespace cpu

}  // namespace limbeck
