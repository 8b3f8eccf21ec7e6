// SPDX-License-Identifier: Apache-2.0
// Internal: what ops on the rows of a matrix check at the door.
#pragma once

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

inline void check_rows(const char* op, const char* what, const Tensor& x) {
  LIMBECK_CHECK(x.rank() == 2 && x.dim(1) >= 1, op, ": ", what, " has shape ", x.shape(),
                "; expected (N,V) with V >= 1");
  LIMBECK_CHECK(is_floating(x.dtype()), op, ": ", what, " is ", x.dtype(),
                "; expected a floating dtype");
}

inline void check_like(const char* op, const char* what, const Tensor& t, const char* which,
                       const Tensor& x) {
  LIMBECK_CHECK(t.shape() == x.shape() && t.dtype() == x.dtype() && t.device() == x.device(), op,
                ": ", what, " is ", t.dtype(), t.shape(), " on ", t.device(), ", ", which, " ",
                x.dtype(), x.shape(), " on ", x.device(), "; expected equal ones");
}

inline void check_tau(const char* op, double tau) {
  LIMBECK_CHECK(tau > 0 && std::isfinite(tau), op, ": tau is ", tau, "; expected > 0");
}

}  // namespace limbeck
