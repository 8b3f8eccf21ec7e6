// SPDX-License-Identifier: Apache-2.0
// Internal: the two rules of grad_scale, on either device.
#pragma once

#include <limbeck/core/math.h>

namespace limbeck {

template <class F>
struct NormAndFactor {
  F norm, factor;
};

/// From the sum of squares of the gradients as they are, the loss scale still in them.
template <class F>
LIMBECK_HD NormAndFactor<F> grad_factor(F squares, F max_norm, F loss_scale) {
  const F norm = math::sqrt(squares) / loss_scale;
  if (!(norm - norm == F(0))) return {norm, norm - norm};  // NaN
  const F clip = max_norm / (norm + F(1e-6));
  return {norm, (clip < F(1) ? clip : F(1)) / loss_scale};
}

struct LossScaleRule {
  float growth, backoff, interval;

  LIMBECK_HD void operator()(float& scale, float& streak, float norm) const {
    if (!(norm - norm == 0.0f)) {
      scale *= backoff;
      streak = 0;
    } else if (streak + 1 < interval) {
      streak += 1;
    } else {
      scale *= growth;
      streak = 0;
    }
  }
};

}  // namespace limbeck
