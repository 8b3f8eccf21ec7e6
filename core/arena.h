// SPDX-License-Identifier: Apache-2.0
// One memory for all the CPU tensors of a step, planned from the step before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace limbeck {

struct ArenaStats {
  std::size_t bytes = 0;           ///< of the memory
  std::size_t pool_bytes = 0;      ///< what the pool would hold for the same blocks
  std::int64_t steps = 0;          ///< done
  std::int64_t planned_steps = 0;  ///< of these, the ones that went by their plan
  std::int64_t blocks = 0;         ///< of the last step
  std::int64_t pool_blocks = 0;    ///< of these, the ones that came from the pool
};

/// Steps take and give back the same blocks in the same order, again and again. So what one step
/// took tells the next one where everything goes: its pool_allocate(Device::cpu(), ...) is a look
/// into a table, without a lock, a search or a malloc.
///
/// A step that does otherwise (another size, one block more, a place that still has an owner) gets
/// the rest of its blocks from the pool, and the next step goes by what this one did. Blocks that
/// are there when their step ends come from the pool whenever they did so in the step before. Any
/// block may outlive its step and the arena: the memory stays for it, and the arena takes another.
/// What tasks of a parallel_for take where several threads run them is not the step's.
///
/// An arena serves one thread at a time. No result depends on it.
class Arena {
 public:
  Arena();
  ~Arena();  ///< no step may be running
  Arena(Arena&&) noexcept;
  Arena& operator=(Arena&&) noexcept;

  /// While it lives, this thread takes its CPU blocks from the arena. Steps of different kinds are
  /// told apart by `kind`, any number; the last four kinds are remembered. Steps of two arenas may
  /// be nested. Throws std::invalid_argument when the arena has a step already.
  class Step {
   public:
    explicit Step(Arena& arena, std::int64_t kind = 0);
    ~Step();
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
  };

  struct State;

  /// While it lives, this thread takes from the pool: for what it does in an order that depends on
  /// threads.
  class Pause {
   public:
    Pause();
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    State* paused_;
  };

  ArenaStats stats() const;

 private:
  std::unique_ptr<State> state_;
};

namespace detail {
/// A block of this thread's step; null where there is none.
std::shared_ptr<void> arena_allocate(std::size_t bytes);
}  // namespace detail

}  // namespace limbeck
