// SPDX-License-Identifier: Apache-2.0
// Internal: how the lanes of a warp meet, for every function a warp runs together.
#pragma once

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>

namespace limbeck::simt {

/// What each lane brought; nullptr for lanes outside the mask.
struct Lanes {
  unsigned mask;
  void* argument[32];
};

/// Fails unless the running thread may wait for `mask` here; then it counts as waiting.
void join_lanes(const char* name, unsigned mask, void* argument, const Site& site);
/// Whether all lanes of the running thread's mask wait, in the same function.
bool all_lanes_wait();
Lanes lanes_waiting(unsigned mask);
void release_lanes(unsigned mask);

/// Brings the lanes of `mask` together; the last to arrive calls act(lanes) for all.
template <class Act>
void meet(const char* name, unsigned mask, void* argument, const Site& site, Act act) {
  join_lanes(name, mask, argument, site);
  if (all_lanes_wait()) {
    act(lanes_waiting(mask));
    release_lanes(mask);
  }
  yield();
}

/// `0xff`.
std::string hex(unsigned mask);

}  // namespace limbeck::simt
