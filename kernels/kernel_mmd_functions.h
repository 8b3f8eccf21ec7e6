// SPDX-License-Identifier: Apache-2.0
// Internal: the kernel of one pair, on either device.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/kernel_mmd.h>

namespace limbeck {

/// Of a pair x, y: k, and what multiplies y - x and sign(y - x) in dk/dx.
template <class F>
struct KernelPair {
  F k, pull, push;
};

/// KernelMmdOptions as numbers to multiply by.
template <class F>
struct MmdKernel {
  F rbf_weight, half_precision, precision;  ///< 1/2 and 1 over sigma_rbf^2
  F laplace_weight, rate;                   ///< 1 / sigma_laplace

  explicit MmdKernel(const KernelMmdOptions& o)
      : rbf_weight(static_cast<F>(o.rbf_weight)),
        half_precision(inverse(o.rbf_weight, 2 * o.sigma_rbf * o.sigma_rbf)),
        precision(inverse(o.rbf_weight, o.sigma_rbf * o.sigma_rbf)),
        laplace_weight(static_cast<F>(o.laplace_weight)),
        rate(inverse(o.laplace_weight, o.sigma_laplace)) {}

  /// Of |x - y|_2^2 and |x - y|_1.
  LIMBECK_HD KernelPair<F> operator()(F squares, F sizes) const {
    const F rbf = rbf_weight * math::exp(-squares * half_precision);
    const F laplace = laplace_weight * math::exp(-sizes * rate);
    return {rbf + laplace, rbf * precision, laplace * rate};
  }

 private:
  static F inverse(double weight, double x) { return weight > 0 ? static_cast<F>(1 / x) : F(0); }
};

}  // namespace limbeck
