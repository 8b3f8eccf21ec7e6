// SPDX-License-Identifier: Apache-2.0
// 2-D max and average pooling, images in NHWC.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

struct Pool2dOptions {
  std::int64_t kernel = 2;   ///< >= 1, both directions
  std::int64_t stride = 2;   ///< >= 1
  std::int64_t padding = 0;  ///< 0 <= padding <= kernel / 2
};

/// (N,H,W,C) gives (N,OH,OW,C), OH = (H + 2 padding - kernel) / stride + 1 (floor).
Shape pool2d_output_shape(const Shape& x, const Pool2dOptions& options);

/// y = maximum over each window (padding never wins; the first of equals wins; the first NaN wins);
/// index (like y, i32), where it is defined, = position h*W + w of the winner. Both written. Any
/// floating dtype, in all four functions; sums are taken in f32 (f64) and rounded once.
void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& options);
/// dx = dy scattered to the winners, summed in window order; written.
void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& options);
/// y = (sum in order of h, w) / (number of cells), over the window's cells inside the image;
/// written.
void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& options);
/// dx = sum, in window order, of dy / (number of cells) of the windows that cover it; written.
void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& options);

namespace cpu {
void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& options);
void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& options);
void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& options);
void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& options);
}  // namespace cpu
namespace cuda {
void max_pool2d_forward(Tensor& y, Tensor& index, const Tensor& x, const Pool2dOptions& options);
void max_pool2d_backward(Tensor& dx, const Tensor& dy, const Tensor& index,
                         const Pool2dOptions& options);
void avg_pool2d_forward(Tensor& y, const Tensor& x, const Pool2dOptions& options);
void avg_pool2d_backward(Tensor& dx, const Tensor& dy, const Pool2dOptions& options);
}  // namespace cuda

}  // namespace limbeck
