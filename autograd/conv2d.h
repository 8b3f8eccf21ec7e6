// SPDX-License-Identifier: Apache-2.0
// 2-D convolution as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/conv2d.h>

namespace limbeck {

/// x (N,H,W,C), w (O,KH,KW,C), bias (O) or undefined; result (N,OH,OW,O). Saves x and w. The
/// gradients of w and bias are added by the kernels themselves, as in linear().
Variable conv2d(const Variable& x, const Variable& w, const Variable& bias,
                const Conv2dOptions& options = {});

/// Internal: conv2d()'s result y, computed elsewhere, with its gradients.
Variable record_conv2d(const Variable& x, const Variable& w, const Variable& bias,
                       const Conv2dOptions& options, Tensor y);

}  // namespace limbeck
