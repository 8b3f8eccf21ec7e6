// SPDX-License-Identifier: Apache-2.0
// Internal: what the normalisations check at the door.
#pragma once

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// What statistics of x are kept in.
inline DType statistics_dtype(DType dtype) { return dtype == DType::f64 ? dtype : DType::f32; }

/// x is (...,C) with C >= 1.
inline void check_norm_input(const char* op, const Tensor& x) {
  LIMBECK_CHECK(x.defined() && is_floating(x.dtype()), op, ": x is ",
                x.defined() ? dtype_name(x.dtype()) : "undefined", "; expected a floating dtype");
  LIMBECK_CHECK(x.rank() >= 2 && x.dim(x.rank() - 1) >= 1, op, ": x has shape ", x.shape(),
                "; expected (...,C) with C >= 1");
}

/// `t`, if it is defined, is (C) of x's dtype.
inline void check_norm_parameter(const char* op, const char* what, const Tensor& t,
                                 const Tensor& x) {
  if (!t.defined()) return;
  LIMBECK_CHECK(
      t.shape() == Shape{x.dim(x.rank() - 1)} && t.dtype() == x.dtype() && t.device() == x.device(),
      op, ": ", what, " is ", t.dtype(), t.shape(), " on ", t.device(), ", x ", x.dtype(),
      x.shape(), " on ", x.device(), "; expected (", x.dim(x.rank() - 1), ") of x's dtype");
}

/// `t` is of that shape and of the dtype in which statistics of x are kept.
inline void check_statistics(const char* op, const char* what, const Tensor& t, const Shape& shape,
                             const Tensor& x) {
  LIMBECK_CHECK(t.defined(), op, ": ", what, " is undefined; expected ", shape);
  LIMBECK_CHECK(
      t.shape() == shape && t.dtype() == statistics_dtype(x.dtype()) && t.device() == x.device(),
      op, ": ", what, " is ", t.dtype(), t.shape(), " on ", t.device(), ", x ", x.dtype(),
      x.shape(), " on ", x.device(), "; expected ", statistics_dtype(x.dtype()), shape);
}

inline void check_eps(const char* op, double eps) {
  LIMBECK_CHECK(eps > 0 && std::isfinite(eps), op, ": eps is ", eps, "; expected > 0");
}

}  // namespace limbeck
