// SPDX-License-Identifier: Apache-2.0
// Internal: which inputs an output of upsampling reads along one axis, on either device. Exact: the
// scale is a fraction, so places are whole numbers.
#pragma once

#include <cstdint>

#include <limbeck/core/host_device.h>

namespace limbeck {

struct UpsampleAxis {
  std::int64_t inputs, outputs;
  std::int64_t numerator, denominator;  ///< of the scale, outputs per input
  bool linear;                          ///< else nearest
};

/// An output is (1 - w) x_first + w x_second with w = rest / (2 numerator); nearest has rest 0.
struct UpsampleTap {
  std::int64_t first, second, rest;
};

LIMBECK_HD UpsampleTap upsample_tap(const UpsampleAxis& a, std::int64_t output) {
  if (!a.linear) {
    const std::int64_t at = output * a.denominator / a.numerator;
    return {at, at, 0};
  }
  // (output + 1/2) / scale - 1/2, not below 0, times 2 numerator.
  const std::int64_t place = (2 * output + 1) * a.denominator - a.numerator;
  if (place <= 0) return {0, a.inputs > 1 ? 1 : 0, 0};
  const std::int64_t first = place / (2 * a.numerator);
  return {first, first + 1 < a.inputs ? first + 1 : first, place - first * 2 * a.numerator};
}

struct UpsampleRange {
  std::int64_t begin, end;
};

/// The first output at or after a / b; b > 0.
LIMBECK_HD std::int64_t upsample_bound(std::int64_t a, std::int64_t b, std::int64_t outputs) {
  const std::int64_t at = a <= 0 ? 0 : (a + b - 1) / b;
  return at < outputs ? at : outputs;
}

/// Outputs outside the range do not read input `i`: nearest reads it where
/// i <= output / scale < i + 1, linear where the place above lies in [i - 1, i + 1) or is cut off.
LIMBECK_HD UpsampleRange upsample_readers(const UpsampleAxis& a, std::int64_t i) {
  const std::int64_t n = a.numerator, d = a.denominator;
  if (!a.linear)
    return {upsample_bound(i * n, d, a.outputs), upsample_bound((i + 1) * n, d, a.outputs)};
  return {i == 0 ? 0 : upsample_bound((2 * i - 1) * n - d, 2 * d, a.outputs),
          upsample_bound((2 * i + 3) * n - d, 2 * d, a.outputs)};
}

/// What input i counts in an output with this tap.
template <class T>
LIMBECK_HD T upsample_weight(const UpsampleAxis& a, const UpsampleTap& tap, std::int64_t i) {
  const T second = static_cast<T>(tap.rest) / static_cast<T>(2 * a.numerator);
  return (tap.first == i ? T(1) - second : T(0)) + (tap.second == i ? second : T(0));
}

}  // namespace limbeck
