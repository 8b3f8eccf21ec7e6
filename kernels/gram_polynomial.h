// SPDX-License-Identifier: Apache-2.0
// Internal: what gram_compare does to an element: a polynomial of a degree the compiler knows, and
// the penalty of a difference.
#pragma once

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

/// l and l' of kernels/gram_compare.h.
template <GramPenalty kPenalty>
struct GramError {
  template <class F>
  LIMBECK_HD static F loss(F e) {
    if constexpr (kPenalty == GramPenalty::square) return e * e;
    const F a = e < 0 ? -e : e;
    return a <= 1 ? F(0.5) * e * e : a - F(0.5);
  }
  template <class F>
  LIMBECK_HD static F slope(F e) {
    if constexpr (kPenalty == GramPenalty::square) return 2 * e;
    const F low = e < -1 ? F(-1) : e;
    return low > 1 ? F(1) : low;
  }
};

/// Calls fn(polynomial, penalty), the first of the smallest of three sizes that holds the
/// coefficients; further ones are 0 and change no bit. A penalty that is not the square is there
/// for the smallest only.
template <class F, class Fn>
void visit_gram_options(const GramCompareOptions& options, Fn fn) {
  const auto call = [&]<int kDegree, GramPenalty kPenalty>() {
    GramPolynomial<F, kDegree> k;
    for (std::size_t p = 0; p < options.coefficients.size(); ++p)
      k.a[p] = static_cast<F>(options.coefficients[p]);
    fn(k, GramError<kPenalty>{});
  };
  const std::size_t terms = options.coefficients.size();
  if (options.penalty == GramPenalty::huber)
    return call.template operator()<1, GramPenalty::huber>();
  if (terms <= 2) return call.template operator()<1, GramPenalty::square>();
  if (terms == 3) return call.template operator()<2, GramPenalty::square>();
  call.template operator()<kMaxGramDegree, GramPenalty::square>();
}

}  // namespace limbeck
