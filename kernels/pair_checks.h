// SPDX-License-Identifier: Apache-2.0
// Internal: what ops on all pairs of rows check at the door.
#pragma once

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// `t` has an f64 for each pair of N rows.
inline void check_pairs(const char* op, const char* what, const Tensor& t, std::int64_t N,
                        Device device) {
  LIMBECK_CHECK(t.defined(), op, ": ", what, " is undefined; expected ", Shape{N, N});
  LIMBECK_CHECK(t.shape() == Shape({N, N}) && t.dtype() == DType::f64 && t.device() == device, op,
                ": ", what, " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ",
                DType::f64, Shape{N, N}, " on ", device);
}

}  // namespace limbeck
