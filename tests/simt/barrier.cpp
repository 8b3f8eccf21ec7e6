// SPDX-License-Identifier: Apache-2.0
// Where all threads of a block, a cluster or the grid meet, and what forbids a thread to leave.
#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

/// The running thread waits for all threads of `blocks`, which stand side by side in grid.blocks;
/// the last to arrive calls met().
template <class Met>
void arrive(const char* name, Barrier& barrier, std::span<Block> blocks, const Site& site,
            Met met) {
  Thread& me = self();
  unsigned exited = 0;
  for (const Block& block : blocks) exited += block.exited;
  if (exited > 0) fail(site, concat(name, ", but ", exited, " thread(s) it waits for have exited"));
  if (barrier.arrived == 0) barrier.first = &me;
  const Thread& first = *barrier.first;
  if (&first != &me && !same_site(first.wait.site, site))
    fail(site, concat(name, ", but ", describe(first), " waits in ", describe(first.wait),
                      ": divergent barrier"));
  me.wait = {name, site, 0, nullptr};
  me.state = State::at_barrier;
  const std::span threads(blocks.front().threads.data(),
                          blocks.size() * blocks.front().threads.size());
  if (++barrier.arrived == threads.size()) {
    barrier.arrived = 0;
    met();
    wake(threads, [](const Thread&) { return true; });
  }
  yield();
}

void check_not_awaited(const Barrier& barrier) {
  if (barrier.arrived > 0)
    fail("its end", concat("exited, but ", describe(*barrier.first), " waits in ",
                           describe(barrier.first->wait)));
}

void check_lane_not_awaited(const Thread& me) {
  if (me.block->warp_of(me).waiting == 0) return;
  for (const Thread& t : me.block->lanes_of(me))
    if (t.state == State::at_collective && (t.wait.mask >> me.lane() & 1) != 0)
      fail("its end", concat("exited, but lane ", t.lane(), " waits for it in ", describe(t.wait)));
}

void check_not_in_use(const Block& block) {
  if (block.mapped && block.mapped->meetings == block.cluster->meetings)
    fail(
        "its end",
        concat(
            "the block ends, but no sync_cluster follows the last use of its shared memory, which ",
            describe(*block.mapped->by), " mapped at ", describe(block.mapped->site)));
}

}  // namespace

void sync_block(const Site& site) {
  const InRuntime guard;
  Block& block = *self().block;
  const std::span blocks(&block, 1);
  arrive("sync_block", block.barrier, blocks, site, [&] {
    if (observer) observer->synchronised(blocks, Scope::one_block);
  });
}

void sync_cluster(const Site& site) {
  const InRuntime guard;
  Cluster& cluster = *self().block->cluster;
  arrive("sync_cluster", cluster.barrier, cluster.blocks, site, [&] {
    ++cluster.meetings;
    if (observer) observer->synchronised(cluster.blocks, Scope::one_cluster);
  });
}

void sync_grid(const Site& site) {
  const InRuntime guard;
  self();
  if (!grid.launch->cooperative)
    fail(site, "sync_grid in an ordinary launch; expected Launch::cooperative");
  arrive("sync_grid", grid.barrier, grid.blocks, site, [] {
    if (observer) observer->synchronised(grid.blocks, Scope::whole_grid);
  });
}

void exit_thread() {
  const InRuntime guard;
  Thread& me = self();
  Block& block = *me.block;
  check_not_awaited(block.barrier);
  check_not_awaited(block.cluster->barrier);
  check_not_awaited(grid.barrier);
  check_lane_not_awaited(me);
  me.state = State::exited;
  ++block.exited;
  block.warp_of(me).live &= ~(1u << me.lane());
  if (block.done()) {
    check_not_in_use(block);
    check_no_bulk_copies(block);
    finish(block);
  }
  if (block.cluster->done())
    switch_to_host();
  else
    yield();
}

}  // namespace limbeck::simt
