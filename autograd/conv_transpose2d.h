// SPDX-License-Identifier: Apache-2.0
// 2-D transposed convolution as a differentiable op: the adjoint of conv2d's map from x to y.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/conv2d.h>

namespace limbeck {

/// `conv` is the convolution that goes the other way, from the larger image to the smaller.
struct ConvTranspose2dOptions {
  Conv2dOptions conv = {};
  std::int64_t output_padding = 0;  ///< 0 <= output_padding < stride
};

/// x (N,H,W,I), w (I,KH,KW,O/groups): (N,OH,OW,O) with
/// OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
Shape conv_transpose2d_output_shape(const Shape& x, const Shape& w,
                                    const ConvTranspose2dOptions& options);

/// y_n,i,j,o = bias_o + the sum of x_n,h,w,c w_c,kh,kw,o where i = h stride - padding + kh dilation
/// and j likewise; conv2d's three kernels compute it and its gradients. bias (O) or undefined.
/// Saves x and w. The gradients of w and bias are added by the kernels themselves, as in conv2d().
Variable conv_transpose2d(const Variable& x, const Variable& w, const Variable& bias,
                          const ConvTranspose2dOptions& options = {});

}  // namespace limbeck
