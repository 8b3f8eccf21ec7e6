// SPDX-License-Identifier: Apache-2.0
// A block's shared memory, and the checked accesses to any memory.
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

void check_aligned(const void* p, const Site& site) {
  const InRuntime guard;
  if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0)
    fail(site, concat("16-byte access to ", p, ", which is not 16-byte aligned"));
}

}  // namespace

void* shared_array(const void* key, const char* name, std::size_t bytes, std::size_t alignment,
                   const Site& site) {
  const InRuntime guard;
  Block& block = *self().block;
  std::size_t total = bytes;
  for (const SharedArray& a : block.shared) {
    if (a.key == key) return a.begin;
    total += a.bytes;
  }
  if (total > kMaxShared)
    fail(site,
         concat("the block has ", total, " bytes of shared memory; expected at most ", kMaxShared));
  // An array of floats is only as aligned as floats are: one that needs more must say so.
  const std::size_t offset = alignment % 16 == 0 ? 0 : alignment;
  auto memory = std::make_unique_for_overwrite<char[]>(offset + bytes);
  char* begin = memory.get() + offset;
  std::memset(begin, 0xff, bytes);
  block.shared.push_back({key, name, bytes, std::move(memory), begin});
  return begin;
}

void* dynamic_shared(const Site& site) {
  const InRuntime guard;
  static const char key = 0;
  self();
  if (grid.launch->dynamic_shared == 0)
    fail(site, "dynamic shared memory is used, but the launch asked for none");
  return shared_array(&key, "dynamic shared memory", grid.launch->dynamic_shared, 16, site);
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
