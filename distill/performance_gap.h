// SPDX-License-Identifier: Apache-2.0
// How much of what a student could have learnt it did learn from a weaker model.
#pragma once

#include <optional>

namespace limbeck {

/// One measure, more being better (accuracy), of three models.
struct PerformanceGap {
  double weak = 0;     ///< the small model that taught
  double student = 0;  ///< the big one that it taught
  double ceiling = 0;  ///< the big one taught by the truth
};

/// (student - weak) / (ceiling - weak), Burns et al. (2023), "Weak-to-strong generalization": 0
/// where the student is no better than who taught it, 1 where nothing was lost; below 0 and above
/// 1 are possible. None where ceiling and weak are equal: there is no gap.
std::optional<double> performance_gap_recovered(const PerformanceGap& gap);

}  // namespace limbeck
