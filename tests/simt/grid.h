// SPDX-License-Identifier: Apache-2.0
// Internal: the launch that runs now, its blocks, warps and threads.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <limbeck/tests/simt/fiber.h>
#include <limbeck/tests/simt/runtime.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck::simt {

struct Block;
struct Cluster;

enum class State : std::uint8_t { runnable, at_barrier, at_collective, exited };

/// What a waiting thread waits in.
struct Wait {
  const char* name = "";
  Site site;
  unsigned mask = 0;
  void* argument = nullptr;  // what the lane brings to a warp function
};

/// A copy_async whose thread has not waited for it yet.
struct Copy {
  void* to;
  const void* from;
  std::size_t bytes, valid;
  unsigned group;  // how many commit_copies came before
  bool arrived;
  const void* pc;  // of the call
};

/// A copy_bulk nobody has waited for yet.
struct BulkCopy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool arrived;
  const void* pc;
  Site site;
};

/// What stands behind a CopyBarrier at `address`.
struct CopyPhases {
  const void* address;
  unsigned arrivals;
  unsigned missing;               // arrivals, of this phase
  std::size_t expected, started;  // bytes
  std::uint32_t phase;            // how many are over
  std::vector<BulkCopy> copies;
};

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  unsigned index = 0;  // within the block
  uint3 position;
  State state = State::exited;
  Wait wait;
  std::vector<Copy> copies;
  unsigned copy_groups = 0;  // committed

  int lane() const { return static_cast<int>(index % 32); }
};

struct Warp {
  unsigned live = 0;     // lanes that have not exited
  unsigned waiting = 0;  // lanes in a warp function
};

/// One shared variable of one block.
struct SharedArray {
  const void* key;
  const char* name;
  std::size_t bytes, alignment;
  std::unique_ptr<char[]> memory;
  char* begin;
};

/// Where the threads of a block, a cluster or the grid wait for each other.
struct Barrier {
  unsigned arrived = 0;
  const Thread* first = nullptr;
};

/// Another block has the address of something in this one's shared memory.
struct Mapping {
  const Thread* by;
  Site site;
  unsigned meetings;  // the cluster's, when it asked
};

struct Block {
  Cluster* cluster = nullptr;
  std::uint64_t index = 0;  // within the grid
  uint3 position;
  std::span<Thread> threads;
  std::vector<Warp> warps;
  std::vector<SharedArray> shared;
  unsigned exited = 0;
  Barrier barrier;
  std::vector<CopyPhases> copy_barriers;
  std::optional<Mapping> mapped;  // the last time

  bool done() const { return exited == threads.size(); }
  Warp& warp_of(const Thread& t) { return warps[t.index / 32]; }
  std::span<Thread> lanes_of(const Thread& t) {
    const std::size_t begin = t.index / 32 * 32;
    return threads.subspan(begin, std::min<std::size_t>(32, threads.size() - begin));
  }
};

struct Cluster {
  std::span<Block> blocks;
  Barrier barrier;
  unsigned meetings = 0;  // sync_clusters passed
  bool active = false;

  bool done() const { return std::ranges::all_of(blocks, &Block::done); }
};

/// The state of the running launch; one at a time.
struct Grid {
  const Launch* launch = nullptr;
  const Kernel* kernel = nullptr;
  std::optional<Order> order;
  std::vector<Thread> threads;  // of all resident blocks
  std::vector<Block> blocks;    // the resident ones, by clusters
  std::vector<Cluster> clusters;
  Barrier barrier;
  Fiber host;
  Thread* running = nullptr;  // nullptr while the host runs
  bool in_runtime = false;    // the running thread executes the emulation's code, not the kernel's
  std::string failure;
};
extern Grid grid;

/// Every function kernels call holds one.
struct InRuntime {
  InRuntime() { grid.in_runtime = true; }
  ~InRuntime() { grid.in_runtime = false; }
  InRuntime(const InRuntime&) = delete;
  InRuntime& operator=(const InRuntime&) = delete;
};

/// The running thread; throws when a device function is called by the host.
Thread& self();
/// Gives the processor to the next runnable thread, or to the host.
void yield();
void switch_to_host();
/// As fail, where an exception cannot pass: the running thread is dropped as it stands.
[[noreturn]] void abandon(const std::string& message);
/// Makes those of `threads` that `chosen(thread)` runnable, in the schedule's order.
template <class Chosen>
void wake(std::span<Thread> threads, Chosen chosen);

/// The variable of `block` that p lies in, or nullptr.
const SharedArray* find_shared(const Block& block, const void* p);
/// Fails unless the `bytes` at p lie in one shared variable of the running thread's block.
void check_shared(const char* name, const void* p, std::size_t bytes, const Site& site);
/// Fails if the block, whose last thread is leaving, has bulk copies nobody waited for.
void check_no_bulk_copies(const Block& block);
/// What phases somebody of the block waits for still lack.
std::string missing_copies(const Block& block);
/// The block's last thread has left.
void finish(Block& block);

/// `kernel 'x' block (1,0,0) thread (5,0,0)`.
std::string describe(const Thread& thread);
std::string describe(const uint3& position);
std::string describe(const Site& site);  ///< `relu.cu:12`
std::string describe(const Wait& wait);  ///< `ballot(mask 0x1) at relu.cu:12`
bool same_site(const Site& a, const Site& b);

/// What a thread does when its kernel returns: leaves its block, which others may still wait in.
void exit_thread();

template <class Chosen>
void wake(std::span<Thread> threads, Chosen chosen) {
  const std::size_t span = std::bit_ceil(threads.size());
  const std::size_t flip = grid.order->next_flip() & (span - 1);
  for (std::size_t i = 0; i < span; ++i) {
    const std::size_t k = i ^ flip;
    if (k >= threads.size() || !chosen(threads[k])) continue;
    threads[k].state = State::runnable;
    grid.order->push(&threads[k]);
  }
}

}  // namespace limbeck::simt
