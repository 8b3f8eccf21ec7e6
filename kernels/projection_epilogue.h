// SPDX-License-Identifier: Apache-2.0
// Internal: the element-wise part of the dense projection, for both devices.
#pragma once

#include <limbeck/core/math.h>

namespace limbeck {

/// z in turns to [-1/2, 1/2]; exact for |z| < 2^22, 0 for what is larger, NaN for inf and NaN.
LIMBECK_HD float fraction_of_turn(float z) {
  const float magic = 0x1.8p23f;  // adding it rounds to an integer
  const float whole = (z + magic) - magic;
  return z - (z > -0x1p22f && z < 0x1p22f ? whole : z);
}
LIMBECK_HD double fraction_of_turn(double z) { return z; }

/// d/dz of scale * [cos 2 pi z, sin 2 pi z] is 2 pi [-sin, cos] scale: the outputs themselves.
template <class F>
LIMBECK_HD F cos_sin_backward(F cosine, F sine, F dcosine, F dsine) {
  return F(6.283185307179586) * (cosine * dsine - sine * dcosine);
}

}  // namespace limbeck
