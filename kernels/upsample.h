// SPDX-License-Identifier: Apache-2.0
// Images enlarged (or reduced) by a fraction, NHWC: the nearest pixel or a bilinear mixture.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

enum class UpsampleMode { nearest, bilinear };

/// Outputs per input along an axis; both >= 1.
struct ScaleRatio {
  std::int64_t numerator = 2, denominator = 1;
};

struct UpsampleOptions {
  UpsampleMode mode = UpsampleMode::nearest;
  ScaleRatio height = {}, width = {};
};

/// (N,H,W,C) gives (N,OH,OW,C), OH = floor(H height), at least 1.
Shape upsample_output_shape(const Shape& x, const UpsampleOptions& options);

/// As PyTorch's nearest and bilinear with align_corners = false, whose scale factors are decimal.
/// nearest: y_i,j = x at floor(i / height), floor(j / width). bilinear: row i lies at
/// max(0, (i + 1/2) / height - 1/2), columns likewise; y mixes the four pixels around, the last row
/// and column standing for what lies beyond:
/// (1-v) ((1-u) x00 + u x01) + v ((1-u) x10 + u x11). Written; any floating dtype; computed in f32
/// (f64) and rounded once.
void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& options);
/// dx = sum, in order of (i,j), of dy times the pixel's weights in it; written.
void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& options);

namespace cpu {
void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& options);
void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& options);
}  // namespace cpu
namespace cuda {
void upsample_forward(Tensor& y, const Tensor& x, const UpsampleOptions& options);
void upsample_backward(Tensor& dx, const Tensor& dy, const UpsampleOptions& options);
}  // namespace cuda

}  // namespace limbeck
