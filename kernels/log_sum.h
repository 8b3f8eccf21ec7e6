// SPDX-License-Identifier: Apache-2.0
// Internal: the logarithm of a sum of exponentials in more digits than the exponentials have. A
// log-sum-exp is compared with another one, and their difference is what counts.
#pragma once

#include <cstdint>

#include <limbeck/core/math.h>

namespace limbeck {

/// log(x) for a normal x > 0, within 1e-15; NaN and inf stay. IEEE operations only: the same bits
/// on every device.
LIMBECK_HD double log_of_sum(double x) {
  std::uint64_t bits = __builtin_bit_cast(std::uint64_t, x);
  const std::int64_t above = static_cast<std::int64_t>(bits) - 0x3fe6a09e667f3bcd;  // sqrt(1/2)
  const std::int64_t k = above >> 52;
  bits -= static_cast<std::uint64_t>(k) << 52;
  const double m = __builtin_bit_cast(double, bits);  // in [sqrt(1/2), sqrt(2))
  const double f = (m - 1) / (m + 1), z = f * f;      // log m = 2 artanh f
  double series = 0;
  for (int i = 23; i >= 3; i -= 2) series = math::fma(series, z, 1.0 / i);
  const double log_m = 2 * math::fma(f * z, series, f);
  const double y = math::fma(static_cast<double>(k), 0x1.62e42fefa39efp-1, log_m);
  return x - x == 0 ? y : x;
}

/// log(sum exp(max / tau)), -inf where nothing was summed.
LIMBECK_HD double log_sum_exp(double max, double sum, double tau) {
  return sum == 0 ? -__builtin_huge_val() : max / tau + log_of_sum(sum);
}

}  // namespace limbeck
