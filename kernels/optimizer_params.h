// SPDX-License-Identifier: Apache-2.0
// Internal: what the optimiser steps share: the checks of a parameter's tensors, and the scale of
// the gradients.
#pragma once

#include <cmath>

#include <limbeck/core/tensor.h>

namespace limbeck::detail {

/// `t` stands beside parameter i's value: same shape and device, and the given dtype.
inline void check_beside(const char* op, const char* what, std::size_t i, const Tensor& t,
                         const Tensor& value, DType dtype) {
  LIMBECK_CHECK(t.defined(), op, ": parameter ", i, " has no ", what, "; expected one like ", dtype,
                value.shape());
  LIMBECK_CHECK(t.shape() == value.shape() && t.dtype() == dtype && t.device() == value.device(),
                op, ": parameter ", i, " has ", what, " ", t.dtype(), t.shape(), " on ", t.device(),
                ", value ", value.dtype(), value.shape(), " on ", value.device(), "; expected ",
                dtype, value.shape(), " on ", value.device());
}

/// The dtype of parameter i's gradient: that of its rounded copy, if it has one.
template <class Param>
DType grad_dtype(const char* op, std::size_t i, const Param& p) {
  if (!p.rounded.defined()) return p.value.dtype();
  LIMBECK_CHECK(p.value.dtype() == DType::f32 &&
                    (p.rounded.dtype() == DType::bf16 || p.rounded.dtype() == DType::f16),
                op, ": parameter ", i, " has a rounded copy in ", p.rounded.dtype(), ", value ",
                p.value.dtype(), "; expected bf16 or f16, and f32");
  check_beside(op, "rounded", i, p.rounded, p.value, p.rounded.dtype());
  return p.rounded.dtype();
}

/// Everything but the optimiser's own buffers; all parameters are alike.
template <class Param>
void check_params(const char* op, std::span<const Param> params) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    const Param &p = params[i], &first = params[0];
    LIMBECK_CHECK(p.value.defined(), op, ": parameter ", i, " has no value");
    LIMBECK_CHECK(p.value.dtype() == DType::f32 ||
                      (p.value.dtype() == DType::f64 && !p.value.device().is_cuda()),
                  op, ": parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(),
                  "; expected f32, or f64 on the CPU");
    LIMBECK_CHECK(
        p.value.dtype() == first.value.dtype() && p.value.device() == first.value.device(), op,
        ": parameter ", i, " is ", p.value.dtype(), " on ", p.value.device(), ", parameter 0 ",
        first.value.dtype(), " on ", first.value.device(), "; expected equal ones");
    const DType dtype = grad_dtype(op, i, p);
    check_beside(op, "grad", i, p.grad, p.value, dtype);
    LIMBECK_CHECK(dtype == first.grad.dtype(), op, ": parameter ", i, " has gradients in ", dtype,
                  ", parameter 0 in ", first.grad.dtype(), "; expected equal ones");
    LIMBECK_CHECK(p.weight_decay >= 0, op, ": parameter ", i, " has weight_decay ", p.weight_decay,
                  "; expected >= 0");
    LIMBECK_CHECK(p.lr_scale >= 0, op, ": parameter ", i, " has lr_scale ", p.lr_scale,
                  "; expected >= 0");
  }
}

inline void check_grad_scale(const char* op, const Tensor& scale, const Tensor& value) {
  LIMBECK_CHECK(!scale.defined() || (scale.numel() == 1 && scale.dtype() == value.dtype() &&
                                     scale.device() == value.device()),
                op, ": grad_scale is ", scale.dtype(), scale.shape(), " on ", scale.device(),
                "; expected one ", value.dtype(), " on ", value.device());
}

}  // namespace limbeck::detail
