// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/pool.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
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

class Pool {
 public:
  explicit Pool(Device device)
      : device_(device), reuses_(!device.is_cuda() || backend::reuses_memory()) {}

  std::size_t block_size(std::size_t bytes) const { return reuses_ ? round_size(bytes) : bytes; }

  void* take(std::size_t size) {
    std::lock_guard lock(mutex_);
    void* p = nullptr;
    auto& blocks = free_[size];
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

  void put(void* p, std::size_t size) {
    std::lock_guard lock(mutex_);
    free_[size].push_back(p);
    stats_.in_use -= size;
    if (!reuses_) release_cache_locked();
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

  void release_cache_locked() {
    for (auto& [size, blocks] : free_) {
      for (void* p : blocks) {
        if (device_.is_cuda())
          backend::release(device_.index(), p);
        else
          std::free(p);
        stats_.reserved -= size;
      }
      blocks.clear();
    }
  }

  Device device_;
  bool reuses_;
  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
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
  return {pool->take(size), [pool, size](void* p) { pool->put(p, size); }};
}

PoolStats pool_stats(Device device) { return pool_of(device).stats(); }
void pool_reset_peak(Device device) { pool_of(device).reset_peak(); }
void pool_release_cache(Device device) { pool_of(device).release_cache(); }

}  // namespace limbeck
