// SPDX-License-Identifier: Apache-2.0
// Where the lanes of a warp meet, and the functions that exchange one value per lane.
#include <limbeck/tests/simt/warp.h>

#include <cstring>

#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

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

}  // namespace

std::string hex(unsigned mask) { return concat("0x", std::hex, mask); }

void join_lanes(const char* name, unsigned mask, void* argument, const Site& site) {
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
}

bool all_lanes_wait() {
  const Thread& me = self();
  Block& block = *me.block;
  return (me.wait.mask & ~block.warp_of(me).waiting) == 0 && all_here(me, block.lanes_of(me));
}

Lanes lanes_waiting(unsigned mask) {
  Lanes lanes{mask, {}};
  for (Thread& t : self().block->lanes_of(self()))
    if (mask >> t.lane() & 1) lanes.argument[t.lane()] = t.wait.argument;
  return lanes;
}

void release_lanes(unsigned mask) {
  const Thread& me = self();
  me.block->warp_of(me).waiting &= ~mask;
  wake(me.block->lanes_of(me), [mask](const Thread& t) { return (mask >> t.lane() & 1) != 0; });
}

namespace {

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

}  // namespace

int lane() { return self().lane(); }

void sync_warp(unsigned mask, const Site& site) {
  const InRuntime guard;
  meet("sync_warp", mask, nullptr, site, [](const Lanes& lanes) {
    if (observer) observer->warp_synchronised(self(), lanes.mask);
  });
}

unsigned ballot(const char* name, bool predicate, unsigned mask, const Site& site) {
  const InRuntime guard;
  Vote mine{predicate, 0};
  meet(name, mask, &mine, site, [](const Lanes& lanes) {
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

}  // namespace limbeck::simt
