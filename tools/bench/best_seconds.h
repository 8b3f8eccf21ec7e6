// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

namespace limbeck {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The shortest of ten runs, of fewer when they take longer than a tenth of a second, after one
/// that does not count.
template <class Fn>
double best_seconds(Fn&& fn) {
  fn();
  double best = std::numeric_limits<double>::infinity();
  const double begin = seconds_now();
  for (int run = 0; run < 10 && (run < 2 || seconds_now() - begin < 0.1); ++run) {
    const double start = seconds_now();
    fn();
    best = std::min(best, seconds_now() - start);
  }
  return best;
}

}  // namespace limbeck
