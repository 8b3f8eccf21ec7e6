// SPDX-License-Identifier: Apache-2.0
// One thread per element written; neighbouring threads are neighbouring channels.
#include <limbeck/kernels/adaptive_avg_pool2d.h>

#include <limbeck/kernels/adaptive_bin.h>
#include <limbeck/kernels/pixels.cuh>

namespace limbeck::cuda {
namespace {

/// `large` is the image (N,H,W,C), `small` the pooled one (N,OH,OW,C).
struct Geometry {
  int H, W, C, OH, OW;
  std::int64_t elements;  // one thread each

  Geometry(const Tensor& large, const Tensor& small, const Tensor& written)
      : H(static_cast<int>(large.dim(1))),
        W(static_cast<int>(large.dim(2))),
        C(static_cast<int>(large.dim(3))),
        OH(static_cast<int>(small.dim(1))),
        OW(static_cast<int>(small.dim(2))),
        elements(written.numel()) {}
};

LIMBECK_DEVICE gpu::Range bin(int i, int n, int bins) {
  const AdaptiveBin b = adaptive_bin(i, n, bins);
  return {static_cast<int>(b.begin), static_cast<int>(b.end)};
}

template <class T>
LIMBECK_KERNEL adaptive_avg_pool2d_forward_kernel(T* y, const T* x, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.OH, g.OW, g.C);
  const gpu::Range rows = bin(p.row, g.H, g.OH), columns = bin(p.column, g.W, g.OW);
  const T* image = x + p.image * g.H * g.W * g.C + p.channel;
  float sum = 0;
  for (int h = rows.begin; h < rows.end; ++h)
    for (int w = columns.begin; w < columns.end; ++w)
      sum += static_cast<float>(image[std::int64_t{h * g.W + w} * g.C]);
  y[i] = T(sum / static_cast<float>(rows.size() * columns.size()));
}

template <class T>
LIMBECK_KERNEL adaptive_avg_pool2d_backward_kernel(T* dx, const T* dy, Geometry g) {
  const std::int64_t i = gpu::thread_index();
  if (i >= g.elements) return;
  const gpu::Position p = gpu::position_of(i, g.H, g.W, g.C);
  const gpu::Range rows = bin(p.row, g.OH, g.H), columns = bin(p.column, g.OW, g.W);
  const T* image = dy + p.image * g.OH * g.OW * g.C + p.channel;
  float sum = 0;
  for (int oh = rows.begin; oh < rows.end; ++oh)
    for (int ow = columns.begin; ow < columns.end; ++ow) {
      const int cells = bin(oh, g.H, g.OH).size() * bin(ow, g.W, g.OW).size();
      sum +=
          static_cast<float>(image[std::int64_t{oh * g.OW + ow} * g.C]) / static_cast<float>(cells);
    }
  dx[i] = T(sum);
}

}  // namespace

void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x) {
  const Geometry g(x, y, y);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("adaptive_avg_pool2d_forward", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("adaptive_avg_pool2d_forward", g.elements),
                adaptive_avg_pool2d_forward_kernel<T>, y.data<T>(), x.data<T>(), g);
  });
}

void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy) {
  const Geometry g(dx, dy, dx);
  if (g.elements == 0) return;
  gpu::visit_gpu_floating("adaptive_avg_pool2d_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch(gpu::one_thread_each("adaptive_avg_pool2d_backward", g.elements),
                adaptive_avg_pool2d_backward_kernel<T>, dx.data<T>(), dy.data<T>(), g);
  });
}

}  // namespace limbeck::cuda
