// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/pool2d.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/pixels.h>

namespace limbeck {
namespace {

void check_options(const char* op, const Shape& x, const Pool2dOptions& o) {
  LIMBECK_CHECK(o.kernel >= 1 && o.stride >= 1, op, ": kernel is ", o.kernel, ", stride ", o.stride,
                "; expected both >= 1");
  LIMBECK_CHECK(o.padding >= 0 && o.padding <= o.kernel / 2, op, ": padding is ", o.padding,
                "; expected 0 <= padding <= kernel / 2 = ", o.kernel / 2);
  LIMBECK_CHECK(x.rank() == 4, op, ": x has shape ", x, "; expected (N,H,W,C)");
  LIMBECK_CHECK(x[1] + 2 * o.padding >= o.kernel && x[2] + 2 * o.padding >= o.kernel, op,
                ": x has shape ", x, " with padding ", o.padding, "; expected images of at least ",
                o.kernel, "x", o.kernel);
}

// `small` is y or dy, `large` x or dx.
void check(const char* op, const Tensor& small, const Tensor& large, const Pool2dOptions& o) {
  LIMBECK_CHECK(small.defined() && large.defined(), op, ": a tensor is undefined");
  check_options(op, large.shape(), o);
  LIMBECK_CHECK(is_floating(large.dtype()) && small.dtype() == large.dtype(), op, ": input is ",
                large.dtype(), ", output ", small.dtype(), "; expected one floating dtype");
  LIMBECK_CHECK(small.device() == large.device(), op, ": input is on ", large.device(),
                ", output on ", small.device(), "; expected one device");
  const Shape expected = pool2d_output_shape(large.shape(), o);
  LIMBECK_CHECK(small.shape() == expected, op, ": output has shape ", small.shape(), ", input ",
                large.shape(), "; expected output ", expected);
}

void check_index(const char* op, const Tensor& index, const Tensor& small) {
  LIMBECK_CHECK(index.defined() && index.dtype() == DType::i32 && index.shape() == small.shape() &&
                    index.device() == small.device(),
                op, ": index is not i32", small.shape(), " on ", small.device(),
                "; expected it like the output");
}

}  // namespace

Shape pool2d_output_shape(const Shape& x, const Pool2dOptions& o) {
  check_options("pool2d_output_shape", x, o);
  const auto extent = [&](std::int64_t n) { return (n + 2 * o.padding - o.kernel) / o.stride + 1; };
  return {x[0], extent(x[1]), extent(x[2]), x[3]};
}

void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& options) {
  check("max_pool2d_forward", y, x, options);
  if (index.defined()) check_index("max_pool2d_forward", index, y);
  LIMBECK_DISPATCH(x.device(), max_pool2d_forward(y, index, x, options));
}

void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& options) {
  check("max_pool2d_backward", dy, dx, options);
  check_index("max_pool2d_backward", index, dy);
  LIMBECK_DISPATCH(dx.device(), max_pool2d_backward(dx, dy, index, options));
}

void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& options) {
  check("avg_pool2d_forward", y, x, options);
  LIMBECK_DISPATCH(x.device(), avg_pool2d_forward(y, x, options));
}

void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& options) {
  check("avg_pool2d_backward", dy, dx, options);
  LIMBECK_DISPATCH(dx.device(), avg_pool2d_backward(dx, dy, options));
}

namespace cpu {
namespace {

// Cells of the image that window i covers, along one axis of extent n.
Range window(Index i, Index n, const Pool2dOptions& o) {
  const Index begin = i * o.stride - o.padding;
  return {std::max<Index>(begin, 0), std::min(begin + o.kernel, n)};
}

std::vector<Range> windows(Index count, Index n, const Pool2dOptions& o) {
  std::vector<Range> list;
  for (Index i = 0; i < count; ++i) list.push_back(window(i, n, o));
  return list;
}

// For every cell, of n along an axis, the windows, of `count`, that cover it.
std::vector<Range> covering(Index n, Index count, const Pool2dOptions& o) {
  std::vector<Range> list;
  for (Index i = 0; i < n; ++i) {
    const Index last = i + o.padding, first = last - o.kernel + 1;
    list.push_back(
        {first <= 0 ? 0 : (first + o.stride - 1) / o.stride, std::min(last / o.stride + 1, count)});
  }
  return list;
}

template <bool kIndexed, class T>
[[gnu::always_inline]] inline void max_window(T* y, std::int32_t* index, const T* x, Range rows,
                                              Range columns, Index width, Index channels) {
  using C = ComputeType<T>;
  for_each_chunk(channels, [&](Index c0, auto capacity, auto n) {
    C best[capacity.value];
    std::int32_t where[capacity.value];
    for (Index c = 0; c < n; ++c) best[c] = -std::numeric_limits<C>::infinity();
    for (Index c = 0; c < n; ++c)
      where[c] = static_cast<std::int32_t>(rows.begin * width + columns.begin);
    for (Index h = rows.begin; h < rows.end; ++h)
      for (Index w = columns.begin; w < columns.end; ++w) {
        const T* cell = x + (h * width + w) * channels + c0;
        const auto position = static_cast<std::int32_t>(h * width + w);
#pragma omp simd
        for (Index c = 0; c < n; ++c) {
          const C v = static_cast<C>(cell[c]);
          const bool wins = (v > best[c]) | ((v != v) & (best[c] == best[c]));
          best[c] = wins ? v : best[c];
          if constexpr (kIndexed) where[c] = wins ? position : where[c];
        }
      }
    for (Index c = 0; c < n; ++c) y[c0 + c] = static_cast<T>(best[c]);
    for (Index c = 0; kIndexed && c < n; ++c) index[c0 + c] = where[c];
  });
}

}  // namespace

void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& o) {
  const Extents e(x, y);
  const auto rows = windows(e.oh, e.h, o), columns = windows(e.ow, e.w, o);
  std::int32_t* where = data_or_null<std::int32_t>(index);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const Range *is = rows.data(), *js = columns.data();
    const auto run = [&](auto indexed) {
      for_each_pixel(e.n * e.oh, e.ow, e.ow * e.c * o.kernel * o.kernel,
                     [&](Index row, Index j, Index pixel) {
                       max_window<indexed.value>(
                           out + pixel * e.c, indexed.value ? where + pixel * e.c : nullptr,
                           in + row / e.oh * e.h * e.w * e.c, is[row % e.oh], js[j], e.w, e.c);
                     });
    };
    where ? run(std::true_type()) : run(std::false_type());
  });
}

void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& o) {
  const Extents e(dx, dy);
  const auto rows = covering(e.h, e.oh, o), columns = covering(e.w, e.ow, o);
  const std::int32_t* where = index.data<std::int32_t>();
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    const Range *is = rows.data(), *js = columns.data();
    for_each_pixel(e.n * e.h, e.w, e.w * e.c, [&](Index row, Index w, Index pixel) {
      const auto position = static_cast<std::int32_t>(row % e.h * e.w + w);
      gather_windows(out + pixel * e.c, is[row % e.h], js[w], row / e.h * e.oh * e.ow, e.ow, e.c,
                     [&](C* sum, Index at, Index, Index, auto n) {
#pragma omp simd
                       for (Index c = 0; c < n; ++c) {
                         const C g = static_cast<C>(in[at + c]);
                         sum[c] += where[at + c] == position ? g : C(0);
                       }
                     });
    });
  });
}

void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& o) {
  const Extents e(x, y);
  const auto rows = windows(e.oh, e.h, o), columns = windows(e.ow, e.w, o);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const Range *is = rows.data(), *js = columns.data();
    for_each_pixel(e.n * e.oh, e.ow, e.ow * e.c * o.kernel * o.kernel,
                   [&](Index row, Index j, Index pixel) {
                     mean_window(out + pixel * e.c, in + row / e.oh * e.h * e.w * e.c,
                                 is[row % e.oh], js[j], e.w, e.c);
                   });
  });
}

void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& o) {
  const Extents e(dx, dy);
  const auto rows = covering(e.h, e.oh, o), columns = covering(e.w, e.ow, o);
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    const Range *is = rows.data(), *js = columns.data();
    for_each_pixel(e.n * e.h, e.w, e.w * e.c, [&](Index row, Index w, Index pixel) {
      gather_windows(out + pixel * e.c, is[row % e.h], js[w], row / e.h * e.oh * e.ow, e.ow, e.c,
                     [&](C* sum, Index at, Index i, Index j, auto n) {
                       const C cells =
                           static_cast<C>(window(i, e.h, o).size() * window(j, e.w, o).size());
                       for (Index c = 0; c < n; ++c) sum[c] += static_cast<C>(in[at + c]) / cells;
                     });
    });
  });
}

}  // namespace cpu

}  // namespace limbeck
