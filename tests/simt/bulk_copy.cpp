// SPDX-License-Identifier: Apache-2.0
// Bulk copies and the barriers that count their bytes. As with copy_async, some arrive at once and
// the others when somebody waits for them. A phase ends when a thread waits for it, so one that
// nobody waits for is noticed.
#include <algorithm>
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

constexpr std::size_t kMaxExpected = (1u << 20) - 1;  // PTX ISA: range of the tx-count

CopyPhases* find(Block& block, const void* address) {
  const auto found = std::ranges::find(block.copy_barriers, address, &CopyPhases::address);
  return found == block.copy_barriers.end() ? nullptr : &*found;
}

CopyPhases& barrier_at(const char* name, const void* address, const Site& site) {
  CopyPhases* b = find(*self().block, address);
  if (b == nullptr)
    fail(site, concat(name, ": no init_barrier made ", address, " a barrier of this block"));
  return *b;
}

bool awaited(const Block& block, const CopyPhases& b) {
  return std::ranges::any_of(block.threads, [&](const Thread& t) {
    return t.state == State::at_barrier && t.wait.argument == b.address;
  });
}

/// Once all have arrived, no more bytes may come than were expected.
void check_bytes(const char* name, const CopyPhases& b, const Site& site) {
  if (b.missing == 0 && b.started > b.expected)
    fail(site,
         concat(name, ": copies of ", b.started, " bytes in a phase that expects ", b.expected));
}

/// Ends the phase if all is there.
void end_phase(Block& block, CopyPhases& b) {
  if (b.missing > 0 || b.started != b.expected) return;
  for (const BulkCopy& copy : b.copies) {
    if (!copy.arrived) std::memcpy(copy.to, copy.from, copy.bytes);
    if (observer) observer->bulk_arrived(block, copy, b);
  }
  b.copies.clear();
  b.missing = b.arrivals;
  b.expected = b.started = 0;
  ++b.phase;
  wake(block.threads, [&](const Thread& t) {
    return t.state == State::at_barrier && t.wait.argument == b.address;
  });
}

void check_copy(const BulkCopy& copy, const Site& site) {
  const char* name = "copy_bulk";
  if (copy.bytes == 0 || copy.bytes % 16 != 0)
    fail(site, concat(name, ": ", copy.bytes, " bytes; expected a multiple of 16"));
  for (const void* p : {static_cast<const void*>(copy.to), copy.from})
    if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0)
      fail(site, concat(name, ": ", p, " is not 16-byte aligned"));
  check_shared(name, copy.to, copy.bytes, site);
  if (!find_allocation(copy.from).contains(copy.from, copy.bytes))
    fail(site, concat(name, ": ", copy.bytes, " bytes at ", copy.from,
                      " are not in one device allocation"));
}

/// Counts its bytes.
void start(const BulkCopy& copy, const void* barrier, const Site& site) {
  const InRuntime guard;
  CopyPhases& b = barrier_at("copy_bulk", barrier, site);
  check_copy(copy, site);
  b.started += copy.bytes;
  check_bytes("copy_bulk", b, site);
}

}  // namespace

void init_barrier(void* barrier, unsigned arrivals, const Site& site) {
  observe(barrier, sizeof(std::uint64_t), Access::write, __builtin_return_address(0));
  const InRuntime guard;
  const char* name = "init_barrier";
  check_shared(name, barrier, sizeof(std::uint64_t), site);
  if (reinterpret_cast<std::uintptr_t>(barrier) % 8 != 0)
    fail(site, concat(name, ": ", barrier, " is not 8-byte aligned"));
  if (arrivals == 0) fail(site, concat(name, ": 0 arrivals; expected at least 1"));
  Block& block = *self().block;
  if (find(block, barrier)) fail(site, concat(name, ": ", barrier, " is a barrier already"));
  std::memset(barrier, 0, sizeof(std::uint64_t));
  block.copy_barriers.push_back({barrier, arrivals, arrivals, 0, 0, 0, {}});
}

void arrive_expecting(void* barrier, unsigned bytes, const Site& site) {
  observe(barrier, sizeof(std::uint64_t), Access::barrier, __builtin_return_address(0));
  const InRuntime guard;
  const char* name = "arrive_expecting";
  CopyPhases& b = barrier_at(name, barrier, site);
  if (b.missing == 0)
    fail(site, concat(name, ": all ", b.arrivals,
                      " arrival(s) of a phase have come that nobody has waited for"));
  b.expected += bytes;
  --b.missing;
  if (b.expected > kMaxExpected)
    fail(site,
         concat(name, ": ", b.expected, " bytes in a phase; expected at most ", kMaxExpected));
  check_bytes(name, b, site);
  Block& block = *self().block;
  if (awaited(block, b)) end_phase(block, b);
}

void copy_bulk(void* to, const void* from, std::size_t bytes, void* barrier, const Site& site) {
  const void* pc = __builtin_return_address(0);
  observe(barrier, sizeof(std::uint64_t), Access::barrier, pc);
  BulkCopy copy{to, from, bytes, false, pc, site};
  start(copy, barrier, site);
  observe(from, bytes, Access::read, pc);
  observe(to, bytes, Access::bulk_start, pc);
  const InRuntime guard;
  CopyPhases& b = *find(*self().block, barrier);
  copy.arrived = !grid.order->later();
  if (copy.arrived)
    std::memcpy(to, from, bytes);
  else
    std::memset(to, 0xff, bytes);
  b.copies.push_back(copy);
  Block& block = *self().block;
  if (awaited(block, b)) end_phase(block, b);
}

void wait_barrier(void* barrier, unsigned parity, const Site& site) {
  observe(barrier, sizeof(std::uint64_t), Access::barrier, __builtin_return_address(0));
  const InRuntime guard;
  Thread& me = self();
  if (parity > 1) fail(site, concat("wait_barrier: parity ", parity, "; expected 0 or 1"));
  CopyPhases& b = barrier_at("wait_barrier", barrier, site);
  if (b.phase % 2 == parity) end_phase(*me.block, b);
  if (b.phase % 2 == parity) {
    me.wait = {"wait_barrier", site, 0, barrier};
    me.state = State::at_barrier;
    yield();
  }
  if (observer) observer->waited(me, *find(*me.block, barrier));
}

void fence_copies() {
  const Thread& me = self();
  if (observer) observer->copies_fenced(me);
}

void check_no_bulk_copies(const Block& block) {
  for (const CopyPhases& b : block.copy_barriers)
    if (!b.copies.empty())
      fail("its end", concat("the block ends, but nobody has waited for the copy_bulk at ",
                             describe(b.copies.front().site)));
}

std::string missing_copies(const Block& block) {
  std::string text;
  for (const CopyPhases& b : block.copy_barriers)
    if (awaited(block, b)) {
      const SharedArray& a = *find_shared(block, b.address);
      const auto offset = static_cast<const char*>(b.address) - a.begin;
      text += concat("\n  the barrier at byte ", offset, " of shared '", a.name, "' of block ",
                     describe(block.position), " lacks ", b.missing, " arrival(s); ", b.started,
                     " of ", b.expected, " bytes expected are copied");
    }
  return text;
}

}  // namespace limbeck::simt
