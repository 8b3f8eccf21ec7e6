// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/arena_memory.h>

#include <algorithm>

#include <limbeck/core/pool.h>

namespace limbeck {

/// An allocator for the one thing that a shared_ptr allocates. It is told to deallocate when the
/// last owner, weak ones too, is gone: that is when the block is back.
template <class T>
struct ArenaMemory::Beside {
  using value_type = T;
  ArenaMemory* memory;
  std::uint32_t block;

  Beside(ArenaMemory* m, std::uint32_t b) : memory(m), block(b) {}
  template <class U>
  Beside(const Beside<U>& other) : memory(other.memory), block(other.block) {}

  T* allocate(std::size_t) {
    static_assert(sizeof(T) <= sizeof(Room) && alignof(T) <= alignof(Room));
    memory->owners_.fetch_add(1, std::memory_order_relaxed);
    memory->out_[block].store(true, std::memory_order_relaxed);
    return reinterpret_cast<T*>(memory->rooms_[block].bytes);
  }
  void deallocate(T*, std::size_t) noexcept { memory->give_back(block); }
  bool operator==(const Beside& other) const {
    return memory == other.memory && block == other.block;
  }
};

ArenaMemory::ArenaMemory(std::size_t bytes, std::size_t blocks, OnReturn on_return)
    : bytes_(bytes),
      on_return_(on_return),
      data_(pool_allocate_outside(Device::cpu(), bytes)),
      out_(blocks),
      rooms_(new Room[blocks]) {}

bool ArenaMemory::any_out() const {
  return std::any_of(out_.begin(), out_.end(), [](const std::atomic<bool>& out) {
    return out.load(std::memory_order_acquire);
  });
}

std::shared_ptr<void> ArenaMemory::block(std::size_t offset, std::uint32_t block) {
  return {static_cast<char*>(data_.get()) + offset, [](void*) {}, Beside<char>(this, block)};
}

void ArenaMemory::give_back(std::uint32_t block) noexcept {
  on_return_(this, block);
  out_[block].store(false, std::memory_order_release);
  drop();
}

void ArenaMemory::drop() noexcept {
  if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace limbeck
