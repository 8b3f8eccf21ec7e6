// SPDX-License-Identifier: Apache-2.0
// Internal: who watches the memory accesses of kernels. Nobody does, except in the race build.
#pragma once

#include <limbeck/tests/simt/grid.h>

namespace limbeck::simt {

/// A copy_async writes its target from its start to its end, when the thread has waited for it. A
/// copy_bulk ends in Observer::bulk_arrived. A CopyBarrier is written by init_barrier alone.
enum class Access : std::uint8_t { read, write, atomic, copy_start, bulk_start, copy_end, barrier };

/// Whose barrier.
enum class Scope : std::uint8_t { one_block, one_cluster, whole_grid };

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void begin_launch(const Kernel& kernel) = 0;
  /// The running thread is about to touch [p, p + bytes); `pc` is where the kernel does.
  virtual void access(const void* p, std::size_t bytes, Access kind, const void* pc) = 0;
  /// All threads of `blocks` have met.
  virtual void synchronised(std::span<const Block> blocks, Scope scope) = 0;
  virtual void warp_synchronised(const Thread& thread, unsigned mask) = 0;
  virtual void fenced(const Thread& thread) = 0;
  /// The block's copy is complete; those know it who wait for the barrier's phase.
  virtual void bulk_arrived(const Block& block, const BulkCopy& copy,
                            const CopyPhases& barrier) = 0;
  virtual void waited(const Thread& thread, const CopyPhases& barrier) = 0;
  virtual void copies_fenced(const Thread& thread) = 0;
  virtual void block_finished(const Block& block) = 0;  ///< before its shared memory goes
};
inline Observer* observer = nullptr;
Observer& race_checker();  ///< only in the race build

/// Tells the observer, if there is one and a kernel's own code is running.
inline void observe(const void* p, std::size_t bytes, Access kind, const void* pc) {
  if (observer == nullptr || grid.running == nullptr || grid.in_runtime) return;
  const InRuntime guard;
  observer->access(p, bytes, kind, pc);
}

}  // namespace limbeck::simt
