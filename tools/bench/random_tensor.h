// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Uniform in [-scale, scale), different for every `draw`. Beyond 16 million elements the values
/// repeat, so that a tensor as large as a GPU's memory is made there and in no time.
Tensor random_tensor(const Shape& shape, double scale, DType dtype, Device device,
                     std::uint32_t draw);
/// i32, uniform in [0, below).
Tensor random_index_tensor(const Shape& shape, std::int64_t below, Device device,
                           std::uint32_t draw);

/// Whether the first elements (at most 65536) are all zero, or so small that the dtype has no
/// normal number for them.
bool starts_with_zeros_only(const Tensor& x);

}  // namespace limbeck
