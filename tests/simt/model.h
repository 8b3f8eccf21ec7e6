// SPDX-License-Identifier: Apache-2.0
// Which GPU is emulated: what it refuses depends on it, what it computes does not.
#pragma once

#include <cstddef>

namespace limbeck::simt {

/// Shared memory in bytes, dynamic and static: what a kernel may have that asks for it by name, and
/// what a multiprocessor has. A block takes up more than it has by their difference.
struct Model {
  int compute_capability;  ///< 90 for 9.0
  std::size_t max_shared, processor_shared;
};

/// Static shared memory of a kernel, on every GPU.
inline constexpr std::size_t kMaxStaticShared = 48 * 1024;

/// At the start the one of LIMBECK_SIMT_DEVICE, a compute capability, or else of 90.
const Model& model();
/// 75, 80, 86, 89, 90, 100 or 120; throws CudaError for others.
void set_model(int compute_capability);

}  // namespace limbeck::simt
