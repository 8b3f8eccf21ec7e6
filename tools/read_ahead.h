// SPDX-License-Identifier: Apache-2.0
// Items that threads of their own make ready before they are asked for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace limbeck {

/// Loads the items of an order, up to `capacity` of them ahead of what was taken. What is taken
/// depends on the order and on `load` alone, not on the number of threads.
class ReadAhead {
 public:
  /// Writes item `item`, of the same number of bytes each, to `bytes`; called by many threads at
  /// once. What it throws is thrown by take.
  using Load = std::function<void(std::int32_t item, std::uint8_t* bytes)>;

  /// Throws std::invalid_argument for numbers below 1.
  ReadAhead(std::size_t item_bytes, Load load, int threads, std::size_t capacity = 256);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// What is at which place from now on; loading begins with the first take.
  void begin(std::vector<std::int32_t> order);
  /// Copies the items at places [first, last) of the order to `bytes`, and loads those after them
  /// meanwhile. Of several that failed, the first in the order throws.
  void take(std::size_t first, std::size_t last, std::uint8_t* bytes);

 private:
  struct Slot {
    std::vector<std::uint8_t> bytes;
    bool ready = false;
    std::exception_ptr error;
  };
  void work(std::stop_token stop);
  void restart(std::unique_lock<std::mutex>& lock, std::size_t first, std::size_t capacity);
  Slot& slot(std::size_t place) { return slots_[place % slots_.size()]; }

  std::size_t item_bytes_;
  Load load_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_; a slot's bytes belong to the thread that claimed its place until it is
  // ready, and then to take.
  std::vector<std::int32_t> order_;
  std::vector<Slot> slots_;
  std::size_t taken_ = 0;    ///< place that take expects next
  std::size_t claimed_ = 0;  ///< place that a thread loads next
  std::size_t limit_ = 0;    ///< place that must wait until slots are free
  int loading_ = 0;
  std::vector<std::jthread> threads_;  ///< last: they end before the rest does
};

}  // namespace limbeck
