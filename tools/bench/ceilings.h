// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best, measured in the same run as the kernels.
#pragma once

#include <limbeck/core/device.h>

namespace limbeck {

/// 0 stands for not measured.
struct Ceilings {
  double bytes_per_second = 0;  ///< CPU: c = a + b, reads 2 and writes 1; GPU: a device copy
  double flops_per_second = 0;  ///< CPU: f32 fused multiply-adds in registers, two each
};

/// With the threads and the instruction set in use. Takes about a second.
Ceilings measure_ceilings(Device device);

/// Bytes beyond which data is no longer in the caches.
double cache_bytes(Device device);

}  // namespace limbeck
