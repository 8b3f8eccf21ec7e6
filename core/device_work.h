// SPDX-License-Identifier: Apache-2.0
// What the host has asked of GPUs, counted: for tests of what a step costs.
#pragma once

#include <cstdint>

namespace limbeck {

struct DeviceWork {
  /// Kernels and library calls (cuda_launch_count), copies, fills and launches of graphs. What a
  /// graph records counts when it is recorded.
  std::uint64_t queued = 0;
  /// Times the host waited: copies from and to it, and synchronize.
  std::uint64_t waits = 0;
};

/// Of all GPUs and threads so far.
DeviceWork device_work();

namespace detail {
void count_queued();
void count_wait();
}  // namespace detail

}  // namespace limbeck
