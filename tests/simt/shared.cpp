// SPDX-License-Identifier: Apache-2.0
// A block's shared memory, and the checked accesses to any memory.
#include <algorithm>
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/model.h>
#include <limbeck/tests/simt/observer.h>
#include <limbeck/tests/simt/sanitizer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

const char dynamic_key = 0;  // of the dynamic shared memory

void check_aligned(const void* p, const Site& site) {
  const InRuntime guard;
  if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0)
    fail(site, concat("16-byte access to ", p, ", which is not 16-byte aligned"));
}

char* shared_array_of(Block& block, const void* key, const char* name, std::size_t bytes,
                      std::size_t alignment, const Site& site) {
  std::size_t total = key == &dynamic_key ? 0 : bytes;
  for (const SharedArray& a : block.shared) {
    if (a.key == key) return a.begin;
    if (a.key != &dynamic_key) total += a.bytes;
  }
  const std::size_t dynamic = grid.launch->dynamic_shared;
  if (total > kMaxStaticShared || total + dynamic > model().max_shared)
    fail(site, concat("the block has ", total, " bytes of static and ", dynamic,
                      " of dynamic shared memory; expected at most ", kMaxStaticShared,
                      " static, and ", model().max_shared, " in all"));
  // An array of floats is only as aligned as floats are: one that needs more must say so.
  const std::size_t offset = alignment % 16 == 0 ? 0 : alignment;
  auto memory = std::make_unique_for_overwrite<char[]>(offset + bytes);
  char* begin = memory.get() + offset;
  std::memset(begin, 0xff, bytes);
  block.shared.push_back({key, name, bytes, alignment, std::move(memory), begin});
  return begin;
}

/// Fails unless the running thread may use block `rank` of its cluster now.
Block& peer(unsigned rank, const Site& site) {
  Block& me = *self().block;
  Cluster& cluster = *me.cluster;
  if (rank >= cluster.blocks.size())
    fail(site, concat("map_shared: rank ", rank, " of a cluster of ", cluster.blocks.size()));
  Block& block = cluster.blocks[rank];
  if (&block != &me && cluster.meetings == 0)
    fail(site, "map_shared before the first sync_cluster: the other block may not have started");
  if (block.done())
    fail(site, concat("map_shared: block ", describe(block.position),
                      " has ended; no sync_cluster follows the last use of its shared memory"));
  return block;
}

}  // namespace

void* shared_array(const void* key, const char* name, std::size_t bytes, std::size_t alignment,
                   const Site& site) {
  const InRuntime guard;
  return shared_array_of(*self().block, key, name, bytes, alignment, site);
}

const SharedArray* find_shared(const Block& block, const void* p) {
  for (const SharedArray& a : block.shared)
    if (static_cast<std::size_t>(static_cast<const char*>(p) - a.begin) < a.bytes) return &a;
  return nullptr;
}

void check_shared(const char* name, const void* p, std::size_t bytes, const Site& site) {
  const SharedArray* a = find_shared(*self().block, p);
  if (a == nullptr) fail(site, concat(name, ": ", p, " is not in the block's shared memory"));
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(p) - a->begin);
  if (bytes > a->bytes - offset)
    fail(site, concat(name, ": ", bytes, " bytes at byte ", offset, " of shared '", a->name,
                      "', which has ", a->bytes));
}

unsigned cluster_size() { return static_cast<unsigned>(self().block->cluster->blocks.size()); }
unsigned cluster_rank() {
  return static_cast<unsigned>(self().block - self().block->cluster->blocks.data());
}

void* map_shared(const void* p, unsigned rank, const Site& site) {
  const InRuntime guard;
  check_shared("map_shared", p, 1, site);
  Block& block = peer(rank, site);
  if (&block == self().block) return const_cast<void*>(p);
  const SharedArray& mine = *find_shared(*self().block, p);
  block.mapped = {&self(), site, block.cluster->meetings};
  // The other block may not have come by the variable yet.
  char* theirs = shared_array_of(block, mine.key, mine.name, mine.bytes, mine.alignment, site);
  return theirs + (static_cast<const char*>(p) - mine.begin);
}

void finish(Block& block) {
  if (observer) observer->block_finished(block);
  // Other blocks of the cluster may still hold addresses; what is there is no longer to be had.
  for (SharedArray& a : block.shared) {
    std::memset(a.begin, 0xff, a.bytes);
    sanitizer::forbid(a.begin, a.bytes);
  }
}

void* dynamic_shared(const Site& site) {
  const InRuntime guard;
  self();
  if (grid.launch->dynamic_shared == 0)
    fail(site, "dynamic shared memory is used, but the launch asked for none");
  return shared_array(&dynamic_key, "dynamic shared memory", grid.launch->dynamic_shared, 16, site);
}

void thread_fence() {
  const Thread& me = self();
  if (observer) observer->fenced(me);
}

unsigned atomic_add(unsigned* p, unsigned value) {
  observe(p, sizeof *p, Access::atomic, __builtin_return_address(0));
  const unsigned old = *p;
  *p = old + value;
  return old;
}

unsigned atomic_max(unsigned* p, unsigned value) {
  observe(p, sizeof *p, Access::atomic, __builtin_return_address(0));
  const unsigned old = *p;
  *p = std::max(old, value);
  return old;
}

unsigned atomic_cas(unsigned* p, unsigned expected, unsigned value) {
  observe(p, sizeof *p, Access::atomic, __builtin_return_address(0));
  const unsigned old = *p;
  if (old == expected) *p = value;
  return old;
}

void load16(void* to, const void* p, const Site& site) {
  check_aligned(p, site);
  observe(p, 16, Access::read, __builtin_return_address(0));
  std::memcpy(to, p, 16);
}

void store16(void* p, const void* from, const Site& site) {
  check_aligned(p, site);
  observe(p, 16, Access::write, __builtin_return_address(0));
  std::memcpy(p, from, 16);
}

}  // namespace limbeck::simt
