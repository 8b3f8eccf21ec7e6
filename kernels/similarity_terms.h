// SPDX-License-Identifier: Apache-2.0
// Internal: what similarity_kl does to an element.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/similarity_kl.h>

namespace limbeck {

/// k of kernels/similarity_kl.h. A NaN stays one.
template <class F>
LIMBECK_HD F similarity(F cosine) {
  const F k = F(0.5) * (1 + cosine);
  return k < static_cast<F>(kLeastSimilarity) ? static_cast<F>(kLeastSimilarity) : k;
}

/// u + e^-u - 1, without cancellation.
template <class F>
LIMBECK_HD F excess(F u) {
  const bool small = u < F(0.34) && u > F(-0.34);
  const F x = small ? -u : F(0);
  const F near = x * x * math::exp_remainder(x);
  return small ? near : u + math::expm1(-u);
}

}  // namespace limbeck
