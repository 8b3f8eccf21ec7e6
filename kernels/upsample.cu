// SPDX-License-Identifier: Apache-2.0
// One thread per element written; neighbouring threads are neighbouring channels.
#include <limbeck/kernels/upsample.h>

#include <limbeck/kernels/upsample_axis.h>
#include <limbeck/kernels/pixels.cuh>

namespace limbeck::cuda {
namespace {

/// x (N,H,W,C), y (N,OH,OW,C), or their gradients.
struct Geometry {
  UpsampleAxis rows, columns;
  int C;
  std::int64_t elements;  // one thread each

  Geometry(const Tensor& x, const Tensor& y, const Tensor& written, const UpsampleOptions& o)
      : rows(axis(x, y, 1, o.height, o)),
        columns(axis(x, y, 2, o.width, o)),
        C(static_cast<int>(x.dim(3))),
        elements(written.numel()) {}

 private:
  static UpsampleAxis axis(const Tensor& x, const Tensor& y, int i, const ScaleRatio& r,
                           const UpsampleOptions& o) {
    return {x.dim(i), y.dim(i), r.numerator, r.denominator, o.mode == UpsampleMode::bilinear};
  }
};

/// An image of a channel: pixel (h,w) of `width` columns.
template <class T>
struct Plane {
  const T* p;
  std::int64_t width, channels;
  LIMBECK_DEVICE float operator()(std::int64_t h, std::int64_t w) const {
    return static_cast<float>(p[(h * width + w) * channels]);
  }
};

template <class T>
LIMBECK_KERNEL upsample_forward_kernel(T* y, const T* x, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, static_cast<int>(g.rows.outputs),
                                           static_cast<int>(g.columns.outputs), g.C);
  const UpsampleTap h = upsample_tap(g.rows, p.row), w = upsample_tap(g.columns, p.column);
  const Plane<T> image = {x + p.image * g.rows.inputs * g.columns.inputs * g.C + p.channel,
                          g.columns.inputs, g.C};
  if (!g.rows.linear) {
    y[i] = T(image(h.first, w.first));
    return;
  }
  const float v = static_cast<float>(h.rest) / static_cast<float>(2 * g.rows.numerator);
  const float u = static_cast<float>(w.rest) / static_cast<float>(2 * g.columns.numerator);
  const float above = (1.0f - u) * image(h.first, w.first) + u * image(h.first, w.second);
  const float below = (1.0f - u) * image(h.second, w.first) + u * image(h.second, w.second);
  y[i] = T((1.0f - v) * above + v * below);
}

template <class T>
LIMBECK_KERNEL upsample_backward_kernel(T* dx, const T* dy, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p =
      gpu::position_of(i, static_cast<int>(g.rows.inputs), static_cast<int>(g.columns.inputs), g.C);
  const UpsampleRange rows = upsample_readers(g.rows, p.row);
  const UpsampleRange columns = upsample_readers(g.columns, p.column);
  const Plane<T> image = {dy + p.image * g.rows.outputs * g.columns.outputs * g.C + p.channel,
                          g.columns.outputs, g.C};
  float sum = 0;
  for (std::int64_t oh = rows.begin; oh < rows.end; ++oh) {
    const float v = upsample_weight<float>(g.rows, upsample_tap(g.rows, oh), p.row);
    for (std::int64_t ow = columns.begin; ow < columns.end; ++ow) {
      const float u = upsample_weight<float>(g.columns, upsample_tap(g.columns, ow), p.column);
      sum += v * u * image(oh, ow);
    }
  }
  dx[i] = T(sum);
}

}  // namespace

void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& options) {
  const Geometry g(x, y, y, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("upsample_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("upsample_forward", g.elements), upsample_forward_kernel<T>,
                y.data<T>(), x.data<T>(), g);
  });
}

void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& options) {
  const Geometry g(dx, dy, dx, options);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("upsample_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("upsample_backward", g.elements), upsample_backward_kernel<T>,
                dx.data<T>(), dy.data<T>(), g);
  });
}

}  // namespace limbeck::cuda
