// SPDX-License-Identifier: Apache-2.0
// Schedules: in which order the emulated GPU runs what may run in any order. A kernel is right
// when it is right under all of them.
#pragma once

#include <cstdint>
#include <vector>

namespace limbeck::simt {

/// The standard set: 0 runs blocks and threads forward, 1 in reverse, even numbers let the newest
/// runnable thread run on (so some warps get far ahead: this shows a missing barrier after a
/// read), odd numbers choose at random (so no warp gets far from the others).
inline constexpr int kSchedules = 8;

/// The schedule of later launches, any number >= 0. It starts as LIMBECK_SIMT_SCHEDULE, or 0.
/// The same number always gives the same order.
void set_schedule(int index);
int schedule();

struct Thread;

/// Internal: the order of one launch.
class Order {
 public:
  /// Of a launch whose clusters have `cluster_size` threads and run at least `resident` at a time.
  Order(int index, std::size_t cluster_size, std::size_t resident);

  /// Clusters that run interleaved.
  std::size_t resident() const { return resident_; }
  /// Whether what may happen at once or later happens later.
  bool later();
  /// A number whose bits flip the index of what starts or wakes together: i-th is item i ^ flip.
  std::uint64_t next_flip();

  void push(Thread* thread) { ring_[(head_ + count_++) & mask_] = thread; }
  Thread* pop();  ///< nullptr when nobody can run

 private:
  enum class Pick { oldest, newest, any };
  std::uint64_t random();

  Pick pick_;
  std::uint64_t state_;
  std::uint64_t fixed_flip_;
  std::size_t resident_;
  std::vector<Thread*> ring_;
  std::size_t mask_, head_ = 0, count_ = 0;
};

}  // namespace limbeck::simt
