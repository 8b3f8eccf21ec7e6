// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/grid.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

#include <limbeck/core/gpu.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/model.h>
#include <limbeck/tests/simt/observer.h>
#include <limbeck/tests/simt/sanitizer.h>

namespace limbeck::simt {

Grid grid;

namespace {

std::size_t volume(const dim3& d) { return std::size_t{d.x} * d.y * d.z; }

uint3 position_of(std::uint64_t index, const dim3& extent) {
  return {static_cast<unsigned>(index % extent.x),
          static_cast<unsigned>(index / extent.x % extent.y),
          static_cast<unsigned>(index / extent.x / extent.y)};
}

void run_thread() {
  Fiber::entered();
  for (;;) {  // a fiber serves one thread of each block that takes its place
    grid.in_runtime = false;
    try {
      grid.kernel->call(grid.kernel->params);
      exit_thread();
    } catch (const std::exception& e) {
      grid.in_runtime = true;
      grid.failure = e.what();
      switch_to_host();
    }
  }
}

/// Threads keep their stacks from launch to launch, except after a failure, which drops them
/// wherever they stand.
void prepare_threads(std::size_t count) {
  static std::optional<Stacks> stacks;
  if (grid.threads.size() < count) {
    stacks.emplace(count);
    grid.threads = std::vector<Thread>(count);
  } else if (grid.failure.empty()) {
    return;
  }
  for (std::size_t i = 0; i < grid.threads.size(); ++i)
    grid.threads[i].fiber.prepare((*stacks)[i], run_thread);
  grid.failure.clear();
}

void start(Block& block, std::uint64_t index) {
  block.index = index;
  block.position = position_of(index, grid.launch->grid);
  block.exited = 0;
  block.barrier = {};
  block.copy_barriers.clear();
  block.mapped.reset();
  block.warps.assign((block.threads.size() + 31) / 32, {});
  for (unsigned i = 0; i < block.threads.size(); ++i) {
    Thread& t = block.threads[i];
    t.block = &block;
    t.index = i;
    t.position = position_of(i, grid.launch->block);
    t.copies.clear();
    t.copy_groups = 0;
    block.warp_of(t).live |= 1u << t.lane();
  }
  wake(block.threads, [](const Thread&) { return true; });
}

void start(Cluster& cluster, std::uint64_t index) {
  cluster.barrier = {};
  cluster.meetings = 0;
  cluster.active = true;
  for (Block& block : cluster.blocks) start(block, index++);
}

void clear(Cluster& cluster) {
  for (Block& block : cluster.blocks) {
    for (SharedArray& a : block.shared) sanitizer::allow(a.begin, a.bytes);
    block.shared.clear();
  }
  cluster.active = false;
}

std::string deadlock() {
  std::map<std::string, std::pair<int, const Thread*>> waits;
  for (const Block& block : grid.blocks)
    for (const Thread& t : block.threads)
      if (t.state != State::exited) {
        auto& [count, first] = waits[describe(t.wait)];
        if (count++ == 0) first = &t;
      }
  std::string text = "deadlock, no thread can run:";
  for (const auto& [wait, group] : waits)
    text += limbeck::detail::concat("\n  ", group.first, " thread(s) wait in ", wait, ", first ",
                                    describe(*group.second));
  for (const Block& block : grid.blocks) text += missing_copies(block);
  return text;
}

/// Hands out cluster numbers in the schedule's order.
class ClusterQueue {
 public:
  explicit ClusterQueue(std::uint64_t count)
      : count_(count), span_(std::bit_ceil(count)), flip_(grid.order->next_flip() & (span_ - 1)) {}
  bool take(std::uint64_t& index) {
    while (next_ < span_) {
      index = next_++ ^ flip_;
      if (index < count_) return true;
    }
    return false;
  }

 private:
  std::uint64_t count_, span_, flip_, next_ = 0;
};

/// Gives a free place to the next cluster; false when there is none.
bool start_next(Cluster& place, ClusterQueue& queue) {
  std::uint64_t index;
  if (!queue.take(index)) return false;
  start(place, index * place.blocks.size());
  return true;
}

void run_clusters(ClusterQueue queue) {
  for (Cluster& place : grid.clusters) start_next(place, queue);
  while (std::ranges::any_of(grid.clusters, &Cluster::active)) {
    yield();
    if (!grid.failure.empty()) return;
    const auto done =
        std::ranges::find_if(grid.clusters, [](const Cluster& c) { return c.active && c.done(); });
    if (done == grid.clusters.end()) {
      grid.failure = deadlock();
      return;
    }
    clear(*done);
    start_next(*done, queue);
  }
}

/// Places for the clusters that run at once.
void prepare_places(std::size_t clusters, std::size_t block_size) {
  const std::size_t size = grid.launch->cluster;
  prepare_threads(clusters * size * block_size);
  grid.clusters = std::vector<Cluster>(clusters);
  grid.blocks = std::vector<Block>(clusters * size);
  grid.barrier = {};
  for (std::size_t i = 0; i < grid.blocks.size(); ++i) {
    grid.blocks[i].threads = std::span(grid.threads).subspan(i * block_size, block_size);
    grid.blocks[i].cluster = &grid.clusters[i / size];
  }
  for (std::size_t i = 0; i < clusters; ++i)
    grid.clusters[i].blocks = std::span(grid.blocks).subspan(i * size, size);
}

}  // namespace

void check(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  if (volume(g) == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || volume(b) == 0 ||
      volume(b) > 1024 || b.z > 64 || launch.dynamic_shared > model().max_shared)
    throw CudaError(limbeck::detail::concat(
        "kernel '", launch.name, "': grid ", describe({g.x, g.y, g.z}), ", block ",
        describe({b.x, b.y, b.z}), ", ", launch.dynamic_shared,
        " bytes of dynamic shared memory; expected at least one block of 1 to 1024 threads and at "
        "most ",
        model().max_shared, " bytes"));
  gpu::check_cluster(launch.name, launch.cluster, g.x);
  if (launch.cluster > 1 && model().compute_capability < 90)
    throw CudaError(limbeck::detail::concat("kernel '", launch.name, "': clusters of ",
                                            launch.cluster, " blocks need compute capability 9.0"));
  if (launch.cooperative && volume(g) > max_grid(launch))
    throw CudaError(limbeck::detail::concat("kernel '", launch.name, "': a cooperative launch of ",
                                            volume(g), " blocks; expected at most ",
                                            max_grid(launch), ", which run at once"));
}

void run(const Launch& launch, const Kernel& kernel) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  const DeviceMemoryAccess access;
  const std::size_t block_size = volume(launch.block);
  const std::size_t clusters = volume(launch.grid) / launch.cluster;
  grid.launch = &launch;
  grid.kernel = &kernel;
  grid.order.emplace(schedule(), launch.cluster * block_size, launch.cooperative ? clusters : 1);
  blockDim = launch.block;
  gridDim = launch.grid;
  prepare_places(std::min(grid.order->resident(), clusters), block_size);
  if (observer) observer->begin_launch(kernel);
  run_clusters(ClusterQueue(clusters));
  std::ranges::for_each(grid.clusters, clear);
  if (grid.failure.empty()) grid.failure = find_overrun();
  if (!grid.failure.empty())
    throw CudaError("kernel '" + std::string(launch.name) + "': " + grid.failure);
}

unsigned max_grid(const Launch& launch) {
  std::size_t blocks = std::min(kProcessorBlocks, kProcessorThreads / volume(launch.block));
  const std::size_t own = model().processor_shared - model().max_shared;  // the system's, per block
  if (launch.dynamic_shared > 0)
    blocks = std::min(blocks, model().processor_shared / (launch.dynamic_shared + own));
  const auto cluster = std::size_t{launch.cluster};
  return static_cast<unsigned>(kProcessors * blocks / cluster * cluster);
}

int compute_capability() { return model().compute_capability; }

unsigned max_clusters(const Launch& launch) {
  constexpr std::size_t kStatic = 4096;  // which is not known before the launch
  const bool fits = launch.dynamic_shared + kStatic <= model().max_shared;
  return compute_capability() >= 90 && fits ? 2 : 0;
}

Thread& self() {
  if (grid.running == nullptr) throw CudaError("a device function was called by the host");
  return *grid.running;
}

namespace {

void switch_to(Thread* next) {
  Thread* me = grid.running;
  if (next == me) return;
  grid.running = next;
  if (next != nullptr) {
    threadIdx = next->position;
    blockIdx = next->block->position;
  }
  Fiber::switch_to(me ? me->fiber : grid.host, next ? next->fiber : grid.host);
}

}  // namespace

void yield() { switch_to(grid.order->pop()); }
void switch_to_host() { switch_to(nullptr); }

void fail(const std::string& where, const std::string& message) {
  throw CudaError(describe(self()) + " at " + where + ": " + message);
}
void abandon(const std::string& message) {
  grid.failure = describe(self()) + message;
  switch_to_host();
  std::abort();  // not reached: a failed launch is dropped
}

void fail(const Site& site, const std::string& message) { fail(describe(site), message); }

std::string describe(const uint3& p) {
  return limbeck::detail::concat("(", p.x, ",", p.y, ",", p.z, ")");
}

std::string describe(const Thread& thread) {
  return "block " + describe(thread.block->position) + " thread " + describe(thread.position);
}

std::string describe(const Site& site) {
  const std::string file = site.file_name();
  return limbeck::detail::concat(file.substr(file.rfind('/') + 1), ":", site.line());
}

bool same_site(const Site& a, const Site& b) {
  return a.line() == b.line() && a.file_name() == b.file_name();
}

std::string describe(const Wait& wait) {
  if (wait.mask == 0) return limbeck::detail::concat(wait.name, " at ", describe(wait.site));
  return limbeck::detail::concat(wait.name, "(mask 0x", std::hex, wait.mask, ") at ",
                                 describe(wait.site));
}

}  // namespace limbeck::simt
