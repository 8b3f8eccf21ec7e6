// SPDX-License-Identifier: Apache-2.0
// Runs training steps to be profiled.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/trace.h>
#include <limbeck/tools/arm_models.h>

namespace limbeck {

/// A step as training runs it, mean over some.
struct WholeStep {
  double seconds = 0;
  double host_seconds = 0;  ///< until all its work was queued
  double launches = 0;
  std::int64_t as_graph = 0;         ///< of the steps: launches of a recorded graph
  std::size_t resident_bytes = 0;    ///< in the pool between steps
  std::size_t activation_bytes = 0;  ///< the most that steps had in the pool beside these
};

/// Trains `steps` steps to warm up and as many more that are measured. Each has a whole batch where
/// the data is enough for one.
WholeStep run_steps(const ArmSetup& setup, const RunPlace& place, std::int64_t steps);

/// Trains a few steps and then `steps` that are traced. On a GPU every range but the kernels' waits
/// for the device.
std::vector<TraceEvent> trace_steps(const ArmSetup& setup, const RunPlace& place,
                                    std::int64_t steps);

}  // namespace limbeck
