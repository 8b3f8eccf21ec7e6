// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: convolution without an unfolded matrix, for windows and channels so few that
// unfolding would cost as much as the product.
#pragma once

#include <limbeck/kernels/conv2d.h>

namespace limbeck::cpu {

/// Whether the functions below are the faster ones for f32 and f64 weights w.
bool suits_direct(const Shape& w, const Conv2dOptions& options);
/// Whether direct_backward_data can go through a convolution of dy.
bool suits_direct_backward_data(const Shape& w, const Conv2dOptions& options);

/// As the limbeck:: functions of these names, f32 and f64; the chains of the contract. An
/// element of dx is one FMA chain too, over (kh, kw, o) with kh and kw downwards.
void direct_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options);
void direct_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
void direct_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);

}  // namespace limbeck::cpu
