// SPDX-License-Identifier: Apache-2.0
// Where threads meet: block barriers and warp functions.
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

bool same_site(const Site& a, const Site& b) {
  return a.line() == b.line() && a.file_name() == b.file_name();
}

std::string hex(unsigned mask) { return concat("0x", std::hex, mask); }

/// All lanes of `mask` are waiting: do they wait in the same function? A lane in one with another
/// mask may still leave it and come here.
bool all_here(const Thread& me, std::span<Thread> lanes) {
  for (const Thread& t : lanes) {
    if ((me.wait.mask >> t.lane() & 1) == 0) continue;
    if (t.wait.mask != me.wait.mask) return false;
    if (t.wait.name != me.wait.name || !same_site(t.wait.site, me.wait.site))
      fail(me.wait.site, concat(me.wait.name, " meets lane ", t.lane(), "'s ", describe(t.wait),
                                ": divergent warp function"));
  }
  return true;
}

/// What each lane brought; nullptr for lanes outside the mask.
struct Lanes {
  unsigned mask;
  void* argument[32];
};

/// Brings the lanes of `mask` together; the last to arrive calls act(lanes) for all.
template <class Act>
void meet(const char* name, unsigned mask, void* argument, const Site& site, Act act) {
  Thread& me = self();
  Warp& warp = me.block->warp_of(me);
  me.wait = {name, site, mask, argument};
  if ((mask >> me.lane() & 1) == 0)
    fail(site, concat(name, "(mask ", hex(mask), ") does not name the calling lane ", me.lane()));
  if ((mask & ~warp.live) != 0)
    fail(site, concat(name, "(mask ", hex(mask), ") names lanes ", hex(mask & ~warp.live),
                      ", which have exited or lie beyond the block"));
  me.state = State::at_collective;
  warp.waiting |= 1u << me.lane();
  const std::span<Thread> threads = me.block->lanes_of(me);
  if ((mask & ~warp.waiting) == 0 && all_here(me, threads)) {
    Lanes lanes{mask, {}};
    for (Thread& t : threads)
      if (mask >> t.lane() & 1) lanes.argument[t.lane()] = t.wait.argument;
    act(lanes);
    warp.waiting &= ~mask;
    wake(threads, [mask](const Thread& t) { return (mask >> t.lane() & 1) != 0; });
  }
  yield();
}

struct Vote {
  bool predicate;
  unsigned result;
};

struct Exchange {
  void* value;
  std::size_t bytes;
  int source;
  char result[8];
};

void check_not_awaited(const Thread& me) {
  const Block& block = *me.block;
  if (block.at_barrier > 0)
    fail("its end", concat("exited, but thread ", describe(block.first_at_barrier->position),
                           " waits in ", describe(block.first_at_barrier->wait)));
  if (me.block->warp_of(me).waiting == 0) return;
  for (const Thread& t : me.block->lanes_of(me))
    if (t.state == State::at_collective && (t.wait.mask >> me.lane() & 1) != 0)
      fail("its end", concat("exited, but lane ", t.lane(), " waits for it in ", describe(t.wait)));
}

}  // namespace

int lane() { return self().lane(); }

void sync_block(const Site& site) {
  const InRuntime guard;
  Thread& me = self();
  Block& block = *me.block;
  if (block.exited > 0)
    fail(site, concat("sync_block, but ", block.exited, " thread(s) of the block have exited"));
  if (block.at_barrier == 0) block.first_at_barrier = &me;
  const Thread& first = *block.first_at_barrier;
  if (&first != &me && !same_site(first.wait.site, site))
    fail(site, concat("sync_block, but thread ", describe(first.position), " waits in ",
                      describe(first.wait), ": divergent barrier"));
  me.wait = {"sync_block", site, 0, nullptr};
  me.state = State::at_barrier;
  if (++block.at_barrier == block.threads.size()) {
    block.at_barrier = 0;
    if (observer) observer->block_synchronised(block);
    wake(block.threads, [](const Thread&) { return true; });
  }
  yield();
}

void sync_warp(unsigned mask, const Site& site) {
  const InRuntime guard;
  meet("sync_warp", mask, nullptr, site, [](const Lanes& lanes) {
    if (observer) observer->warp_synchronised(self(), lanes.mask);
  });
}

unsigned ballot(bool predicate, unsigned mask, const Site& site) {
  const InRuntime guard;
  Vote mine{predicate, 0};
  meet("ballot", mask, &mine, site, [](const Lanes& lanes) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i)
      if (lanes.argument[i] && static_cast<Vote*>(lanes.argument[i])->predicate) result |= 1u << i;
    for (void* vote : lanes.argument)
      if (vote) static_cast<Vote*>(vote)->result = result;
  });
  return mine.result;
}

void shuffle(const char* name, void* value, std::size_t bytes, int source, unsigned mask,
             const Site& site) {
  const InRuntime guard;
  if ((mask >> source & 1) == 0)
    fail(site, concat(name, " reads lane ", source, ", which is not in mask ", hex(mask)));
  Exchange mine{value, bytes, source, {}};
  meet(name, mask, &mine, site, [](const Lanes& lanes) {
    for (void* p : lanes.argument) {
      if (p == nullptr) continue;
      auto& to = *static_cast<Exchange*>(p);
      const auto& from = *static_cast<const Exchange*>(lanes.argument[to.source]);
      std::memcpy(to.result, from.value, from.bytes);
    }
  });
  std::memcpy(value, mine.result, bytes);
}

void exit_thread() {
  const InRuntime guard;
  Thread& me = self();
  Block& block = *me.block;
  check_not_awaited(me);
  me.state = State::exited;
  ++block.exited;
  block.warp_of(me).live &= ~(1u << me.lane());
  if (block.exited == block.threads.size())
    switch_to_host();
  else
    yield();
}

}  // namespace limbeck::simt
