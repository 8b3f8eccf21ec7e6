// SPDX-License-Identifier: Apache-2.0
// Barriers of a whole grid, for kernels that need them; a header of its own because CUDA's
// implementation takes long to compile.
#pragma once

#include <limbeck/core/gpu.h>

#ifndef LIMBECK_SIMT
#include <cooperative_groups.h>
#endif

namespace limbeck::gpu {

#ifdef LIMBECK_SIMT

LIMBECK_DEVICE void sync_grid(Site site = Site::current()) { simt::sync_grid(site); }

template <class... Params>
unsigned max_grid(const Launch& config, void (*)(Params...)) {
  return simt::max_grid(config);
}

#else

/// All threads of the grid meet; what any of them wrote before, all see after. Only in a launch
/// with Launch::cooperative; traps in others.
LIMBECK_DEVICE void sync_grid() { cooperative_groups::this_grid().sync(); }

/// How many blocks of such a launch the current device runs at once, in whole clusters: a
/// cooperative one may have no more.
template <class... Params>
unsigned max_grid(Launch config, void (*kernel)(Params...)) {
  config.grid = config.cluster;  // does not matter, nor does how they meet
  config.cooperative = false;
  const CudaLaunch cuda(config, reinterpret_cast<const void*>(kernel));
  if (config.cluster > 1) {
    int clusters = 0;
    LIMBECK_CUDA_CHECK(cudaOccupancyMaxActiveClusters(&clusters, kernel, &cuda.config()));
    return static_cast<unsigned>(clusters) * config.cluster;
  }
  int device = 0, processors = 0, blocks = 0;
  LIMBECK_CUDA_CHECK(cudaGetDevice(&device));
  LIMBECK_CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  LIMBECK_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &blocks, kernel, static_cast<int>(config.block.x * config.block.y * config.block.z),
      config.dynamic_shared));
  return static_cast<unsigned>(blocks) * static_cast<unsigned>(processors);
}

#endif

}  // namespace limbeck::gpu
