// SPDX-License-Identifier: Apache-2.0
// Internal: a polynomial and its slope, of a degree the compiler knows.
#pragma once

#include <vector>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gram_compare.h>

namespace limbeck {

template <class F, int kDegree>
struct GramPolynomial {
  F a[kDegree + 1] = {};  ///< of g^0, g^1, ...

  struct Point {
    F value, slope;
  };
  /// Horner's rule for both at once, written out: compilers do not vectorise around a loop in it.
  LIMBECK_HD Point at(F g) const {
    Point k{a[kDegree], 0};
    step<kDegree - 1>(k, g);
    return k;
  }

 private:
  template <int p>
  LIMBECK_HD void step(Point& k, F g) const {
    k.slope = math::fma(k.slope, g, k.value);
    k.value = math::fma(k.value, g, a[p]);
    if constexpr (p > 0) step<p - 1>(k, g);
  }
};

/// Calls fn(polynomial) with the smallest of three sizes that holds the coefficients; further ones
/// are 0 and change no bit.
template <class F, class Fn>
void visit_gram_polynomial(const std::vector<double>& coefficients, Fn fn) {
  const auto call = [&]<int kDegree>() {
    GramPolynomial<F, kDegree> k;
    for (std::size_t p = 0; p < coefficients.size(); ++p) k.a[p] = static_cast<F>(coefficients[p]);
    fn(k);
  };
  if (coefficients.size() <= 2) return call.template operator()<1>();
  if (coefficients.size() == 3) return call.template operator()<2>();
  call.template operator()<kMaxGramDegree>();
}

}  // namespace limbeck
