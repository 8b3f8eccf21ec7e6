// SPDX-License-Identifier: Apache-2.0
// Internal: what feature losses check at the door.
#pragma once

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Batches of the samples' `shape`: (N, shape).
inline bool is_batch_of(const Tensor& t, const Shape& shape) {
  if (!t.defined() || t.rank() != shape.rank() + 1) return false;
  for (int i = 0; i < shape.rank(); ++i)
    if (t.dim(i + 1) != shape[i]) return false;
  return true;
}

inline void check_tap(const char* op, const char* side, const Tensor& tap, const Shape& shape) {
  LIMBECK_CHECK(is_batch_of(tap, shape), op, ": ", side, "'s tap has shape ", tap.shape(),
                "; expected samples of ", shape);
}

/// As many codes as receiver's taps, of their dtype.
inline void check_code(const char* op, const Tensor& code, const Shape& shape,
                       const Tensor& receiver) {
  LIMBECK_CHECK(is_batch_of(code, shape) && code.dim(0) == receiver.dim(0), op, ": code has shape ",
                code.shape(), ", the receiver's tap ", receiver.shape(),
                "; expected as many codes of ", shape);
  LIMBECK_CHECK(code.dtype() == receiver.dtype() && code.device() == receiver.device(), op,
                ": code is ", code.dtype(), " on ", code.device(), ", the receiver's tap ",
                receiver.dtype(), " on ", receiver.device(), "; expected equal ones");
}

/// Of a loss that compares the samples of a batch with each other.
inline void check_whole_batch(const char* op, const Tensor& receiver, double mean_over) {
  LIMBECK_CHECK(mean_over == static_cast<double>(receiver.dim(0)), op, ": mean over ", mean_over,
                " samples of a batch of ", receiver.dim(0),
                "; expected all of them: samples are compared with each other");
}

}  // namespace limbeck
