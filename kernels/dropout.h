// SPDX-License-Identifier: Apache-2.0
// Dropout whose mask is a function of the counter RNG, so it is never stored.
#pragma once

#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Element i of x (counted from `first_element`, so that a micro-batch continues the whole batch's
/// mask) is kept when word i of the stream is >= dropout_threshold(p), and kept elements are
/// divided by 1 - p. With `together` above 1 elements live and die in groups of so many, group g by
/// word g; first_element and the number of elements are then multiples of it.
struct DropoutOptions {
  double p = 0;  ///< probability of dropping, 0 <= p < 1
  RngStream stream = {};
  std::int64_t first_element = 0;
  std::int64_t together = 1;
};

/// p * 2^32 rounded up, at most 2^32 - 1.
std::uint32_t dropout_threshold(double p);

/// y = x * mask / (1 - p), any floating dtype; written; y may be x. The backward is the same call
/// on the gradient.
void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options);

namespace cpu {
void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options);
}  // namespace cpu
namespace cuda {
void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options);
}  // namespace cuda

}  // namespace limbeck
