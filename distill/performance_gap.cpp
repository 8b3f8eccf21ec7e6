// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/performance_gap.h>

namespace limbeck {

std::optional<double> performance_gap_recovered(const PerformanceGap& gap) {
  if (gap.ceiling == gap.weak) return std::nullopt;
  return (gap.student - gap.weak) / (gap.ceiling - gap.weak);
}

}  // namespace limbeck
