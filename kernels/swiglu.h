// SPDX-License-Identifier: Apache-2.0
// The gate of a feed-forward block: Shazeer, "GLU variants improve transformer" (2020).
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y = silu(a) b with silu(a) = a / (1 + e^-a), elementwise. Equal shapes, any floating dtype,
/// arithmetic in f32 (f64 for f64); written; y may be a or b.
void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b);

/// da = dy b silu'(a), db = dy silu(a), from forward's inputs. Written; db may be dy, da may be b,
/// da and db are not the same.
void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b);

namespace cpu {
void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b);
void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b);
}  // namespace cpu
namespace cuda {
void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b);
void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b);
}  // namespace cuda

}  // namespace limbeck
