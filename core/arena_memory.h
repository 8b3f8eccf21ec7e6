// SPDX-License-Identifier: Apache-2.0
// The bytes of an arena and who has which of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace limbeck {

/// Memory for up to `blocks` blocks at a time, each known by its number. It counts its owners, the
/// one who made it and every block that is out, and goes with the last. Blocks may be returned on
/// any thread.
class ArenaMemory {
 public:
  /// Called, on the thread that returns it, with every block that comes back.
  using OnReturn = void (*)(const ArenaMemory*, std::uint32_t block);

  ArenaMemory(std::size_t bytes, std::size_t blocks, OnReturn on_return);

  std::size_t bytes() const { return bytes_; }
  std::size_t blocks() const { return out_.size(); }
  bool is_out(std::uint32_t block) const { return out_[block].load(std::memory_order_acquire); }
  bool any_out() const;

  /// The memory from `offset` on as block number `block`, which must not be out. What a shared_ptr
  /// keeps beside it has its place here too, so nothing is allocated.
  std::shared_ptr<void> block(std::size_t offset, std::uint32_t block);
  /// For who made it, instead of delete.
  void drop() noexcept;

 private:
  template <class T>
  struct Beside;
  struct alignas(64) Room {
    unsigned char bytes[128];
  };

  ~ArenaMemory() = default;
  void give_back(std::uint32_t block) noexcept;

  std::size_t bytes_;
  OnReturn on_return_;
  std::shared_ptr<void> data_;
  std::vector<std::atomic<bool>> out_;
  std::unique_ptr<Room[]> rooms_;  // one per block
  std::atomic<std::int64_t> owners_{1};
};

}  // namespace limbeck
