// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/grid.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {

Grid grid;

namespace {

std::size_t volume(const dim3& d) { return std::size_t{d.x} * d.y * d.z; }

uint3 position_of(std::uint64_t index, const dim3& extent) {
  return {static_cast<unsigned>(index % extent.x),
          static_cast<unsigned>(index / extent.x % extent.y),
          static_cast<unsigned>(index / extent.x / extent.y)};
}

void check(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  if (volume(g) == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || volume(b) == 0 ||
      volume(b) > 1024 || b.z > 64 || launch.dynamic_shared > kMaxShared)
    throw CudaError(limbeck::detail::concat(
        "kernel '", launch.name, "': grid ", describe({g.x, g.y, g.z}), ", block ",
        describe({b.x, b.y, b.z}), ", ", launch.dynamic_shared,
        " bytes of dynamic shared memory; expected at least one block of 1 to 1024 threads and at "
        "most ",
        kMaxShared, " bytes"));
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
  block.at_barrier = 0;
  block.warps.assign((block.threads.size() + 31) / 32, {});
  for (unsigned i = 0; i < block.threads.size(); ++i) {
    Thread& t = block.threads[i];
    t.block = &block;
    t.index = i;
    t.position = position_of(i, grid.launch->block);
    block.warp_of(t).live |= 1u << t.lane();
  }
  wake(block.threads, [](const Thread&) { return true; });
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
  return text;
}

void finish(Block& block) {
  if (observer) observer->block_finished(block);
  block.shared.clear();
}

/// Hands out block numbers in the schedule's order.
class BlockQueue {
 public:
  explicit BlockQueue(std::uint64_t count)
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

void run_blocks(BlockQueue queue) {
  std::size_t active = 0;
  for (Block& block : grid.blocks) {
    std::uint64_t index;
    if (!queue.take(index)) break;
    start(block, index);
    ++active;
  }
  while (active > 0) {
    yield();
    if (!grid.failure.empty()) return;
    const auto done = std::find_if(grid.blocks.begin(), grid.blocks.end(), [](const Block& b) {
      return !b.warps.empty() && b.exited == b.threads.size();
    });
    if (done == grid.blocks.end()) {
      grid.failure = deadlock();
      return;
    }
    finish(*done);
    std::uint64_t index;
    if (queue.take(index)) {
      start(*done, index);
    } else {
      done->warps.clear();  // its place stays empty
      --active;
    }
  }
}

}  // namespace

void run(const Launch& launch, const Kernel& kernel) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  check(launch);
  const DeviceMemoryAccess access;
  const std::size_t block_size = volume(launch.block), block_count = volume(launch.grid);
  grid.launch = &launch;
  grid.kernel = &kernel;
  grid.order.emplace(schedule(), block_size);
  blockDim = launch.block;
  gridDim = launch.grid;
  const std::size_t resident = std::min(grid.order->resident_blocks(), block_count);
  prepare_threads(resident * block_size);
  grid.blocks = std::vector<Block>(resident);
  for (std::size_t i = 0; i < resident; ++i)
    grid.blocks[i].threads = std::span(grid.threads).subspan(i * block_size, block_size);
  if (observer) observer->begin_launch(kernel);
  run_blocks(BlockQueue(block_count));
  std::for_each(grid.blocks.begin(), grid.blocks.end(), finish);
  if (grid.failure.empty()) grid.failure = find_overrun();
  if (!grid.failure.empty())
    throw CudaError("kernel '" + std::string(launch.name) + "': " + grid.failure);
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

std::string describe(const Wait& wait) {
  if (wait.mask == 0) return limbeck::detail::concat(wait.name, " at ", describe(wait.site));
  return limbeck::detail::concat(wait.name, "(mask 0x", std::hex, wait.mask, ") at ",
                                 describe(wait.site));
}

}  // namespace limbeck::simt
