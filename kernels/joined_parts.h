// SPDX-License-Identifier: Apache-2.0
// Internal: what layers of several models have in common that read one input.
#pragma once

#include <span>

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

constexpr std::size_t kMaxJoined = 8;  ///< layers

/// The weights (sum of O,...) and biases (sum of O) of which those of the layers are the rows, in
/// their order; or undefined.
struct WeightStack {
  Tensor w, bias;
};

/// Parts have a weight w (O,...) and a bias (O) or none.
template <class Part>
void check_stack(const char* op, const WeightStack& stack, std::span<const Part> parts) {
  if (!stack.w.defined()) return;
  std::int64_t first = 0;
  for (const Part& part : parts) {
    const std::int64_t end = first + part.w.dim(0);
    LIMBECK_CHECK(
        end <= stack.w.dim(0) && part.w.raw() == stack.w.rows(first, end).raw() &&
            part.bias.defined() == stack.bias.defined() &&
            (!part.bias.defined() || part.bias.raw() == stack.bias.rows(first, end).raw()),
        op, ": weight and bias of a part lie elsewhere than rows ", first, " to ", end,
        " of a stack ", stack.w.shape(), "; expected them there");
    first = end;
  }
}

/// A tensor of a part, which goes with the input x.
inline void check_joined(const char* op, const char* name, const Tensor& t, const Shape& shape,
                         const Tensor& x) {
  LIMBECK_CHECK(
      t.defined() && t.shape() == shape && t.dtype() == x.dtype() && t.device() == x.device(), op,
      ": ", name, " has shape ", t.defined() ? t.shape() : Shape{}, "; expected ", shape, " of ",
      x.dtype(), " on ", x.device(), " like x");
}

inline void check_joined_count(const char* op, std::size_t parts) {
  LIMBECK_CHECK(parts >= 1 && parts <= kMaxJoined, op, ": ", parts, " parts; expected 1 to ",
                kMaxJoined);
}

}  // namespace limbeck
