// SPDX-License-Identifier: Apache-2.0
// What the emulated CUDA libraries know of an array, and check before they touch it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck::simt {

/// An array as a library is told of it: an address, and extents with strides in elements. All that
/// is known of it is checked against the device's memory, when the call is made and when it runs.
struct Operand {
  const char* call;  // for errors
  const char* name;
  void* p;
  DType dtype;
  std::vector<std::int64_t> extents, strides;

  /// Throws CudaError unless no two elements share an address, the address is a multiple of
  /// `alignment` bytes, and everything from the first to the last element lies in one live
  /// allocation on the device.
  void check(std::size_t alignment) const;
  /// A packed copy on the host, in the order of the extents.
  Tensor gather() const;
  void scatter(const Tensor& packed) const;

  std::size_t bytes() const;  ///< from the first element to the end of the last
  std::string str() const;    ///< `f32(2,3) with strides (3,1)`
};

/// Throws CudaError when the bytes the two span overlap.
void check_apart(const Operand& a, const Operand& b);

/// A workspace of so many bytes as an operand; there need not be one for 0.
Operand workspace(const char* call, void* p, std::size_t bytes);

/// A factor of a product as f32; with `tf32`, an f32 one is rounded as tensor cores do.
Tensor factor(const Operand& operand, bool tf32);

}  // namespace limbeck::simt
