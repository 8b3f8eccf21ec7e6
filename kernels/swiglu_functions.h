// SPDX-License-Identifier: Apache-2.0
// Internal: what swiglu computes of an element, on either device.
#pragma once

#include <limbeck/kernels/activation_functions.h>

namespace limbeck {

/// silu(a) b: forward, and the gradient of b when b is dy.
struct Swiglu {
  template <class F>
  LIMBECK_HD F operator()(F a, F b) const {
    return Silu{}(a)*b;
  }
};

/// The gradient of a.
struct SwigluGradA {
  template <class F>
  LIMBECK_HD F operator()(F dy, F a, F b) const {
    return Silu{}(dy * b, a);
  }
};

}  // namespace limbeck
