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

thread_local std::uint64_t current_region = 0;  // 0: none

/// Who may have a block next: whoever takes memory in the same region, under the same stream.
struct Owner {
  std::uint64_t region = 0;
  const void* stream = nullptr;
  bool operator<(const Owner& o) const {
    return std::tie(region, stream) < std::tie(o.region, o.stream);
  }
};

class Pool {
 public:
  explicit Pool(Device device)
      : device_(device), reuses_(!device.is_cuda() || backend::reuses_memory()) {}

  std::size_t block_size(std::size_t bytes) const { return reuses_ ? round_size(bytes) : bytes; }

  Owner owner() const {
    if (!device_.is_cuda()) return {};
    return {current_region, backend::selected_stream(device_.index())};
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
    }
    stats_.in_use += size;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    return p;
  }

  void put(void* p, std::size_t size, const Owner& owner) {
    std::lock_guard lock(mutex_);
    stats_.in_use -= size;
    if (owner.region == 0 ? reuses_ : regions_.contains(owner.region))
      free_[{owner, size}].push_back(p);
    else
      system_release(p, size);
  }

  std::uint64_t begin_region() {
    std::lock_guard lock(mutex_);
    regions_.insert(++last_region_);
    return last_region_;
  }

  void drop_region(std::uint64_t region) {
    std::lock_guard lock(mutex_);
    regions_.erase(region);
    release_if([&](const Owner& owner) { return owner.region == region; });
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
    release_if([&](const Owner& owner) { return !regions_.contains(owner.region); });
  }

  template <class Chosen>
  void release_if(Chosen chosen) {
    for (auto& [key, blocks] : free_) {
      const auto& [owner, size] = key;
      if (!chosen(owner)) continue;
      for (; !blocks.empty(); blocks.pop_back()) system_release(blocks.back(), size);
    }
  }

  Device device_;
  bool reuses_;
  std::mutex mutex_;
  std::map<std::pair<Owner, std::size_t>, std::vector<void*>> free_;
  std::set<std::uint64_t> regions_;
  std::uint64_t last_region_ = 0;
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
  Pool* pool = &pool_of(device);
  const std::size_t size = pool->block_size(bytes);
  const Owner owner = pool->owner();
  return {pool->take(size, owner), [pool, size, owner](void* p) { pool->put(p, size, owner); }};
}

PoolStats pool_stats(Device device) { return pool_of(device).stats(); }
void pool_reset_peak(Device device) { pool_of(device).reset_peak(); }
void pool_release_cache(Device device) { pool_of(device).release_cache(); }

std::uint64_t pool_begin_region(Device device) {
  return current_region = pool_of(device).begin_region();
}
void pool_end_region() { current_region = 0; }
void pool_drop_region(Device device, std::uint64_t region) noexcept {
  pool_of(device).drop_region(region);
}

}  // namespace limbeck
