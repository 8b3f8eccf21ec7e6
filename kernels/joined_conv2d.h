// SPDX-License-Identifier: Apache-2.0
// Convolutions of several models that read the same images, side by side.
#pragma once

#include <limbeck/kernels/conv2d.h>
#include <limbeck/kernels/joined_parts.h>

namespace limbeck {

/// y (N,OH,OW,O) = x * w + bias, with relu the maximum of that and 0, written; as conv2d_forward.
struct Conv2dPart {
  Tensor y, w, bias;
  bool relu = false;
};

/// x (N,H,W,C), windows of one size, options of one group whose relu is not read. On a GPU one
/// convolution and one launch that deals its channels out and adds the biases, where there is a
/// stack; otherwise one after the other, with the same bits on the CPU.
void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack& stack = {});

namespace cpu {
void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack& stack);
}  // namespace cpu
namespace cuda {
void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack& stack);
}  // namespace cuda

}  // namespace limbeck
