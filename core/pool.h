// SPDX-License-Identifier: Apache-2.0
// Caching memory pool, one per device, with peak statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <limbeck/core/device.h>

namespace limbeck {

/// Bytes handed out now, the most ever handed out, and bytes held from the system; how many blocks
/// were ever handed out, and how many of them were taken from the system for that.
struct PoolStats {
  std::size_t in_use = 0;
  std::size_t peak = 0;
  std::size_t reserved = 0;
  std::uint64_t blocks = 0;
  std::uint64_t system_blocks = 0;
};

/// A block of `bytes` bytes on the device, 256-byte aligned on a GPU and 64-byte aligned on the
/// CPU; returned to the pool when the last owner goes. On a GPU it is reused only for blocks taken
/// under the same selected stream, so reuse follows that stream's order. Contents are undefined.
/// Throws std::bad_alloc or CudaError after trying once more with an emptied cache. On the CPU, a
/// step of an arena (core/arena.h) serves its thread instead.
std::shared_ptr<void> pool_allocate(Device device, std::size_t bytes);
/// The same, from the pool in any case.
std::shared_ptr<void> pool_allocate_outside(Device device, std::size_t bytes);
/// Bytes of the block that the pool gives for so many.
std::size_t pool_block_size(Device device, std::size_t bytes);
PoolStats pool_stats(Device device);
void pool_reset_peak(Device device);     ///< peak = in_use
void pool_release_cache(Device device);  ///< gives unused blocks back to the system

/// A region keeps the blocks this thread takes between begin and end for itself, also after their
/// owners are gone, until it is dropped: the memory of a captured graph. One at a time per thread.
std::uint64_t pool_begin_region(Device device);
void pool_end_region();
/// After the graph's work is done: what was the region's is anybody's.
void pool_drop_region(Device device, std::uint64_t region) noexcept;

/// A stream by its backend handle, while it lives; dropped after its work is done, which leaves its
/// blocks to the compute stream.
void pool_add_stream(Device device, const void* handle);
void pool_drop_stream(Device device, const void* handle) noexcept;

}  // namespace limbeck
