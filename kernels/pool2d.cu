// SPDX-License-Identifier: Apache-2.0
// One thread per element written; neighbouring threads are neighbouring channels.
#include <limbeck/kernels/pool2d.h>

#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/pixels.cuh>

namespace limbeck::cuda {
namespace {

/// `large` is the image (N,H,W,C), `small` the pooled one (N,OH,OW,C).
struct Geometry {
  int H, W, C, OH, OW;
  int kernel, stride, padding;
  std::int64_t elements;  // one thread each

  Geometry(const Tensor& large, const Tensor& small, const Tensor& written, const Pool2dOptions& o)
      : H(static_cast<int>(large.dim(1))),
        W(static_cast<int>(large.dim(2))),
        C(static_cast<int>(large.dim(3))),
        OH(static_cast<int>(small.dim(1))),
        OW(static_cast<int>(small.dim(2))),
        kernel(static_cast<int>(o.kernel)),
        stride(static_cast<int>(o.stride)),
        padding(static_cast<int>(o.padding)),
        elements(written.numel()) {}
};

/// Cells of an axis of extent n that window i covers.
LIMBECK_DEVICE gpu::Range window(int i, int n, const Geometry& g) {
  const int begin = i * g.stride - g.padding, end = begin + g.kernel;
  return {begin > 0 ? begin : 0, end < n ? end : n};
}

/// Windows, of `windows` along the axis, that cover cell i.
LIMBECK_DEVICE gpu::Range covering(int i, int windows, const Geometry& g) {
  const int last = i + g.padding, first = last - g.kernel + 1;
  const int end = last / g.stride + 1;
  return {first <= 0 ? 0 : (first + g.stride - 1) / g.stride, end < windows ? end : windows};
}

template <class T>
LIMBECK_KERNEL max_pool2d_forward_kernel(T* y, std::int32_t* index, const T* x, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.OH, g.OW, g.C);
  const gpu::Range rows = window(p.row, g.H, g), columns = window(p.column, g.W, g);
  const T* image = x + p.image * g.H * g.W * g.C + p.channel;
  float best = -__builtin_huge_valf();
  int where = rows.begin * g.W + columns.begin;
  for (int h = rows.begin; h < rows.end; ++h)
    for (int w = columns.begin; w < columns.end; ++w) {
      const int cell = h * g.W + w;
      const float v = image[std::int64_t{cell} * g.C];
      const bool wins = v > best || (v != v && best == best);
      best = wins ? v : best;
      where = wins ? cell : where;
    }
  y[i] = T(best);
  if (index) index[i] = where;
}

template <class T>
LIMBECK_KERNEL max_pool2d_backward_kernel(T* dx, const T* dy, const std::int32_t* index,
                                          Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.H, g.W, g.C);
  const gpu::Range rows = covering(p.row, g.OH, g), columns = covering(p.column, g.OW, g);
  const std::int64_t image = p.image * g.OH * g.OW * g.C + p.channel;
  float sum = 0;
  for (int oh = rows.begin; oh < rows.end; ++oh)
    for (int ow = columns.begin; ow < columns.end; ++ow) {
      const std::int64_t at = image + std::int64_t{oh * g.OW + ow} * g.C;
      sum += index[at] == p.row * g.W + p.column ? static_cast<float>(dy[at]) : 0.0f;
    }
  dx[i] = T(sum);
}

template <class T>
LIMBECK_KERNEL avg_pool2d_forward_kernel(T* y, const T* x, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.OH, g.OW, g.C);
  const gpu::Range rows = window(p.row, g.H, g), columns = window(p.column, g.W, g);
  const T* image = x + p.image * g.H * g.W * g.C + p.channel;
  float sum = 0;
  for (int h = rows.begin; h < rows.end; ++h)
    for (int w = columns.begin; w < columns.end; ++w)
      sum += static_cast<float>(image[std::int64_t{h * g.W + w} * g.C]);
  y[i] = T(sum / static_cast<float>(rows.size() * columns.size()));
}

template <class T>
LIMBECK_KERNEL avg_pool2d_backward_kernel(T* dx, const T* dy, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.H, g.W, g.C);
  const gpu::Range rows = covering(p.row, g.OH, g), columns = covering(p.column, g.OW, g);
  const T* image = dy + p.image * g.OH * g.OW * g.C + p.channel;
  float sum = 0;
  for (int oh = rows.begin; oh < rows.end; ++oh)
    for (int ow = columns.begin; ow < columns.end; ++ow) {
      const int cells = window(oh, g.H, g).size() * window(ow, g.W, g).size();
      sum +=
          static_cast<float>(image[std::int64_t{oh * g.OW + ow} * g.C]) / static_cast<float>(cells);
    }
  dx[i] = T(sum);
}

}  // namespace

void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& options) {
  const Geometry g(x, y, y, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("max_pool2d_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("max_pool2d_forward", g.elements),
                max_pool2d_forward_kernel<T>, y.data<T>(), data_or_null<std::int32_t>(index),
                x.data<T>(), g);
  });
}

void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& options) {
  const Geometry g(dx, dy, dx, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("max_pool2d_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("max_pool2d_backward", g.elements),
                max_pool2d_backward_kernel<T>, dx.data<T>(), dy.data<T>(),
                index.data<std::int32_t>(), g);
  });
}

void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& options) {
  const Geometry g(x, y, y, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("avg_pool2d_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("avg_pool2d_forward", g.elements),
                avg_pool2d_forward_kernel<T>, y.data<T>(), x.data<T>(), g);
  });
}

void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& options) {
  const Geometry g(dx, dy, dx, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("avg_pool2d_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("avg_pool2d_backward", g.elements),
                avg_pool2d_backward_kernel<T>, dx.data<T>(), dy.data<T>(), g);
  });
}

}  // namespace limbeck::cuda
