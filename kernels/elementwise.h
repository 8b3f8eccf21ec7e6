// SPDX-License-Identifier: Apache-2.0
// Pointwise arithmetic on tensors of equal shape and dtype, and a bias for every row.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y = a + b. Any floating dtype; written; y may be a or b.
void add(Tensor& y, const Tensor& a, const Tensor& b);
/// y = a * b, elementwise. Any floating dtype; written; y may be a or b.
void mul(Tensor& y, const Tensor& a, const Tensor& b);
/// y = alpha * x. Any floating dtype; written; y may be x.
void scale(Tensor& y, const Tensor& x, double alpha);
/// y += alpha * x, one fma per element. Any floating dtype; added.
void axpy(Tensor& y, double alpha, const Tensor& x);
/// y = e^x. Any floating dtype; written; y may be x.
void exp(Tensor& y, const Tensor& x);
/// y = s * x where s is a one-element tensor of x's dtype or f32, read on the device; written; y
/// may be x.
void scale_by(Tensor& y, const Tensor& x, const Tensor& s);
/// y (...,C) += bias (C) in every row. Any floating dtype, the same for both; added.
void add_bias(Tensor& y, const Tensor& bias);

namespace cpu {
void add(Tensor& y, const Tensor& a, const Tensor& b);
void mul(Tensor& y, const Tensor& a, const Tensor& b);
void scale(Tensor& y, const Tensor& x, double alpha);
void axpy(Tensor& y, double alpha, const Tensor& x);
void exp(Tensor& y, const Tensor& x);
void scale_by(Tensor& y, const Tensor& x, const Tensor& s);
void add_bias(Tensor& y, const Tensor& bias);
}  // namespace cpu
namespace cuda {
void add(Tensor& y, const Tensor& a, const Tensor& b);
void mul(Tensor& y, const Tensor& a, const Tensor& b);
void scale(Tensor& y, const Tensor& x, double alpha);
void axpy(Tensor& y, double alpha, const Tensor& x);
void exp(Tensor& y, const Tensor& x);
void scale_by(Tensor& y, const Tensor& x, const Tensor& s);
void add_bias(Tensor& y, const Tensor& bias);
}  // namespace cuda

}  // namespace limbeck
