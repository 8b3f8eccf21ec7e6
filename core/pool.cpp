// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/pool.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <limbeck/core/arena.h>
#include <limbeck/core/backend.h>
#include <limbeck/core/error.h>

namespace limbeck {
namespace {

// Sizes are rounded up to eight steps per power of two, so a step's tensors of slightly different
// sizes share blocks and at most 12 % is wasted.
std::size_t round_size(std::size_t bytes) {
  std::size_t step = 64;
  while (step * 16 < bytes) step *= 2;
  return std::max<std::size_t>((bytes + step - 1) / step * step, 64);
}

/// The region this thread takes memory in; number 0: none.
struct CurrentRegion {
  int device = 0;
  std::uint64_t number = 0;
};
thread_local CurrentRegion current_region;

/// Who may have a block next: whoever takes memory in the same region, under the same stream. By
/// numbers that are never given twice, as a stream's handle may be.
struct Owner {
  std::uint64_t region = 0;  // 0: none
  std::uint64_t stream = 0;  // 0: the compute stream
  bool operator<(const Owner& o) const {
    return std::tie(region, stream) < std::tie(o.region, o.stream);
  }
};

class Pool {
 public:
  explicit Pool(Device device)
      : device_(device), reuses_(!device.is_cuda() || backend::reuses_memory()) {}

  std::size_t block_size(std::size_t bytes) const { return reuses_ ? round_size(bytes) : bytes; }

  Owner owner() {
    if (!device_.is_cuda()) return {};
    const void* selected = backend::selected_stream(device_.index());
    std::lock_guard lock(mutex_);
    const auto stream = streams_.find(selected);
    return {current_region.device == device_.index() ? current_region.number : 0,
            stream == streams_.end() ? 0 : stream->second};
  }

  void* take(std::size_t size, const Owner& owner) {
    std::lock_guard lock(mutex_);
    void* p = nullptr;
    auto& blocks = free_[{owner, size}];
    if (!blocks.empty()) {
      p = blocks.back();
      blocks.pop_back();
    } else {
      p = system_allocate(size);
      stats_.reserved += size;
      ++stats_.system_blocks;
    }
    ++stats_.blocks;
    stats_.in_use += size;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    return p;
  }

  void put(void* p, std::size_t size, const Owner& owner) {
    std::lock_guard lock(mutex_);
    stats_.in_use -= size;
    const Owner heir = living(owner);
    if (heir.region != 0 || reuses_)
      free_[{heir, size}].push_back(p);
    else
      system_release(p, size);
  }

  std::uint64_t begin_region() {
    std::lock_guard lock(mutex_);
    regions_.insert(++last_number_);
    return last_number_;
  }

  void drop_region(std::uint64_t region) {
    std::lock_guard lock(mutex_);
    regions_.erase(region);
    inherit();
  }

  void add_stream(const void* handle) {
    std::lock_guard lock(mutex_);
    streams_[handle] = ++last_number_;
  }

  void drop_stream(const void* handle) {
    std::lock_guard lock(mutex_);
    streams_.erase(handle);
    inherit();
  }

  PoolStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }

  void release_cache() {
    std::lock_guard lock(mutex_);
    release_cache_locked();
  }

 private:
  void* system_allocate(std::size_t size) {
    try {
      return raw_allocate(size);
    } catch (const std::exception&) {
      if (current_region.number != 0) throw;  // a capture: nothing may wait for the device now
      release_cache_locked();
      return raw_allocate(size);
    }
  }

  void* raw_allocate(std::size_t size) {
    if (device_.is_cuda()) return backend::allocate(device_.index(), size);
    void* p = std::aligned_alloc(64, size);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }

  void system_release(void* p, std::size_t size) {
    if (device_.is_cuda())
      backend::release(device_.index(), p);
    else
      std::free(p);
    stats_.reserved -= size;
  }

  void release_cache_locked() {
    for (auto& [key, blocks] : free_) {
      const auto& [owner, size] = key;
      if (owner.region != 0) continue;
      for (; !blocks.empty(); blocks.pop_back()) system_release(blocks.back(), size);
    }
  }

  /// The owner less what is no more: its work is done, and what it had goes to all.
  Owner living(const Owner& owner) const {
    const bool lives = std::any_of(streams_.begin(), streams_.end(),
                                   [&](const auto& s) { return s.second == owner.stream; });
    return {regions_.contains(owner.region) ? owner.region : 0, lives ? owner.stream : 0};
  }

  /// Hands the blocks of owners that are no more on to their heirs.
  void inherit() {
    for (auto it = free_.begin(); it != free_.end();) {
      const auto [owner, size] = it->first;
      const Owner heir = living(owner);
      if (heir.region == owner.region && heir.stream == owner.stream) {
        ++it;
        continue;
      }
      const std::vector<void*> blocks = std::move(it->second);
      it = free_.erase(it);
      for (void* p : blocks) {
        if (heir.region != 0 || reuses_)
          free_[{heir, size}].push_back(p);
        else
          system_release(p, size);
      }
    }
  }

  Device device_;
  bool reuses_;
  std::mutex mutex_;
  std::map<std::pair<Owner, std::size_t>, std::vector<void*>> free_;
  std::set<std::uint64_t> regions_;
  std::map<const void*, std::uint64_t> streams_;
  std::uint64_t last_number_ = 0;  // of regions and streams
  PoolStats stats_;
};

// Pools live until the process ends: a static tensor may be destroyed after any static pool.
Pool& pool_of(Device device) {
  static std::mutex mutex;
  static auto* pools = new std::map<int, Pool*>();
  std::lock_guard lock(mutex);
  Pool*& pool = (*pools)[device.is_cuda() ? device.index() : -1];
  if (pool == nullptr) pool = new Pool(device);
  return *pool;
}

}  // namespace

std::shared_ptr<void> pool_allocate(Device device, std::size_t bytes) {
  if (!device.is_cuda())
    if (std::shared_ptr<void> block = detail::arena_allocate(bytes)) return block;
  return pool_allocate_outside(device, bytes);
}

std::shared_ptr<void> pool_allocate_outside(Device device, std::size_t bytes) {
  Pool* pool = &pool_of(device);
  const std::size_t size = pool->block_size(bytes);
  const Owner owner = pool->owner();
  return {pool->take(size, owner), [pool, size, owner](void* p) { pool->put(p, size, owner); }};
}

std::size_t pool_block_size(Device device, std::size_t bytes) {
  return pool_of(device).block_size(bytes);
}

PoolStats pool_stats(Device device) { return pool_of(device).stats(); }
void pool_reset_peak(Device device) { pool_of(device).reset_peak(); }
void pool_release_cache(Device device) { pool_of(device).release_cache(); }

std::uint64_t pool_begin_region(Device device) {
  current_region = {device.index(), pool_of(device).begin_region()};
  return current_region.number;
}
void pool_end_region() { current_region = {}; }
void pool_drop_region(Device device, std::uint64_t region) noexcept {
  pool_of(device).drop_region(region);
}
void pool_add_stream(Device device, const void* handle) { pool_of(device).add_stream(handle); }
void pool_drop_stream(Device device, const void* handle) noexcept {
  pool_of(device).drop_stream(handle);
}

}  // namespace limbeck
