// SPDX-License-Identifier: Apache-2.0
// Average pooling to an output of a given size, images in NHWC; PyTorch's bins.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y (N,OH,OW,C) = mean of x (N,H,W,C) over row i's bin times column j's, where bin i of OH has
/// rows [floor(i H / OH), ceil((i + 1) H / OH)) and columns likewise; OH = OW = 1 is the global
/// average. H, W, OH, OW >= 1, smaller or larger. Written. Any floating dtype; summed in order of
/// (h, w) in f32 (f64), divided and rounded once.
void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x);
/// dx = sum, in order of (i, j), of dy / (cells of the bin) of the bins that hold it; written.
void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy);

namespace cpu {
void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x);
void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy);
}  // namespace cpu
namespace cuda {
void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x);
void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy);
}  // namespace cuda

}  // namespace limbeck
