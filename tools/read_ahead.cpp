// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/read_ahead.h>

#include <algorithm>
#include <utility>

#include <limbeck/core/error.h>

namespace limbeck {

ReadAhead::ReadAhead(std::size_t item_bytes, Load load, int threads, std::size_t capacity)
    : item_bytes_(item_bytes), load_(std::move(load)), slots_(capacity) {
  LIMBECK_CHECK(threads >= 1 && capacity >= 1, "ReadAhead: threads is ", threads, ", capacity ",
                capacity, "; expected at least 1");
  for (Slot& slot : slots_) slot.bytes.resize(item_bytes);
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this](std::stop_token stop) { work(stop); });
}

ReadAhead::~ReadAhead() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void ReadAhead::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const auto has_work = [this] { return claimed_ < std::min(limit_, order_.size()); };
  while (changed_.wait(lock, stop, has_work) && !stop.stop_requested()) {
    const std::size_t place = claimed_++;
    const std::int32_t item = order_[place];
    Slot& mine = slot(place);
    ++loading_;
    lock.unlock();
    std::exception_ptr error;
    try {
      load_(item, mine.bytes.data());
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    mine.error = error;
    mine.ready = true;
    --loading_;
    changed_.notify_all();
  }
}

/// Drops what was loaded; `capacity` places from `first` on may be loaded next.
void ReadAhead::restart(std::unique_lock<std::mutex>& lock, std::size_t first,
                        std::size_t capacity) {
  limit_ = 0;  // no thread begins anything until the rest have finished
  changed_.wait(lock, [this] { return loading_ == 0; });
  for (Slot& slot : slots_) {
    slot.ready = false;
    slot.error = nullptr;
  }
  taken_ = claimed_ = first;
  limit_ = first + capacity;
  changed_.notify_all();
}

void ReadAhead::begin(std::vector<std::int32_t> order) {
  std::unique_lock lock(mutex_);
  restart(lock, 0, 0);
  order_ = std::move(order);
}

void ReadAhead::take(std::size_t first, std::size_t last, std::uint8_t* bytes) {
  std::unique_lock lock(mutex_);
  LIMBECK_CHECK(first <= last && last <= order_.size(), "ReadAhead: places ", first, " to ", last,
                " of an order of ", order_.size());
  if (first != taken_ || limit_ != taken_ + slots_.size()) restart(lock, first, slots_.size());
  for (; taken_ < last; bytes += item_bytes_) {
    Slot& next = slot(taken_);
    changed_.wait(lock, [&] { return next.ready; });
    lock.unlock();
    if (!next.error) std::copy(next.bytes.begin(), next.bytes.end(), bytes);
    lock.lock();
    const std::exception_ptr error = std::exchange(next.error, nullptr);
    next.ready = false;
    ++taken_;
    ++limit_;
    changed_.notify_all();
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace limbeck
