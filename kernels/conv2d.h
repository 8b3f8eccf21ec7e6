// SPDX-License-Identifier: Apache-2.0
// 2-D convolution (cross-correlation), images in NHWC, as an implicit matrix product.
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

struct Conv2dOptions {
  std::int64_t stride = 1;    ///< >= 1, both directions
  std::int64_t padding = 0;   ///< >= 0 zeros on each side
  std::int64_t dilation = 1;  ///< >= 1, pixels from one cell of the window to the next
  /// >= 1, divides C and O: output group g sees input group g only. groups = C is depthwise.
  std::int64_t groups = 1;
  bool relu = false;  ///< forward only: y = max(x * w + bias, 0)
};

/// (N,H,W,C) and weights (O,KH,KW,C/groups) give (N,OH,OW,O),
/// OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1 (floor).
Shape conv2d_output_shape(const Shape& x, const Shape& w, const Conv2dOptions& options);

/// One floating dtype for all tensors of a call: f32, f64 (CPU only), or bf16 and f16, which are
/// computed in f32 and rounded once. Every extent of w is >= 1.
///
/// y = x * w + bias, written. x (N,H,W,C), w (O,KH,KW,C/groups), bias (O) or undefined, y as above.
/// On the CPU in MathMode::exact each element is one FMA chain over (kh, kw, c), then the bias.
void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options);
/// dx (like x) from dy (like y), written. In MathMode::exact the order of an element's sum depends
/// on w and the options only.
void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
/// dw (like w) from x and dy, written or added. On the CPU in MathMode::exact each element is one
/// FMA chain over (n, oh, ow), so sums added over batch blocks equal the whole.
void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);

namespace cpu {
void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options);
void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);
}  // namespace cpu
namespace cuda {
void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options);
void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);
}  // namespace cuda

}  // namespace limbeck
