// SPDX-License-Identifier: Apache-2.0
// Internal: an element and its column as one number, so that the larger of two, or the first of
// equals, is a maximum.
#pragma once

#include <limbeck/core/gpu.h>

namespace limbeck::gpu {

using Key = unsigned long long;  // the 64-bit type CUDA shuffles

/// Larger for larger x, for the first of equals, and largest for NaN.
LIMBECK_DEVICE Key order_key(float x, int column) {
  const unsigned bits = __builtin_bit_cast(unsigned, x + 0.0f);  // -0 equals 0
  const unsigned ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  const unsigned value = x != x ? 0xffffffffu : ascending;
  return Key{value} << 32 | ~static_cast<unsigned>(column);
}
LIMBECK_DEVICE int column_of(Key key) { return static_cast<int>(~static_cast<unsigned>(key)); }

}  // namespace limbeck::gpu
