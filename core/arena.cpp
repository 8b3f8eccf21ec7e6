// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/arena.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include <limbeck/core/arena_memory.h>
#include <limbeck/core/arena_plan.h>
#include <limbeck/core/error.h>
#include <limbeck/core/pool.h>

namespace limbeck {
namespace {

constexpr std::size_t kKinds = 4;
constexpr std::size_t kMostBlocks = 10000;  // planning takes their square: about 0.2 s
constexpr int kPatience = 3;                // steps in a row that did not go by their plan

/// What is known of one kind of step.
struct Kind {
  std::int64_t number = 0;
  std::vector<BlockLife> last = {};  ///< what the last step did; empty: nothing, or it is the plan
  ArenaPlan plan = {};
  std::size_t pool_bytes = 0;
  int failures = 0;  ///< in a row
  int rest = 0;      ///< steps that take no notice of the arena
};

std::atomic<std::uint64_t> steps_begun{0};
thread_local Arena::State* running = nullptr;  // the innermost step of this thread

}  // namespace

struct Arena::State {
  std::vector<Kind> kinds;  // the one that was used last is last
  ArenaMemory* memory = nullptr;
  ArenaStats stats;

  // Of the step that runs.
  bool busy = false, resting = false, by_plan = false;
  std::uint64_t number = 0;
  std::uint32_t moment = 0;
  std::vector<BlockLife> lives;
  State* outer = nullptr;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { drop_memory(); }

  Kind& kind() { return kinds.back(); }

  void begin(std::int64_t kind_number) {
    LIMBECK_CHECK(!busy, "Arena: a step begins in a step; expected the one before to be over");
    choose_kind(kind_number);
    if (memory && memory->any_out()) drop_memory();  // those who are left keep it
    resting = kind().rest > 0;
    if (resting)
      --kind().rest;
    else
      make_ready();
    by_plan = !resting && !kind().plan.empty();
    number = ++steps_begun;
    moment = 0;
    lives.clear();
    stats.blocks = stats.pool_blocks = 0;
    busy = true;
    outer = std::exchange(running, this);
  }

  void end() {
    running = outer;
    busy = false;
    ++stats.steps;
    if (resting) return;
    Kind& k = kind();
    if (by_plan && !memory->any_out()) {
      ++stats.planned_steps;
      k.failures = 0;
      return;
    }
    const bool failed = !k.plan.empty();
    k.plan = {};
    k.last.swap(lives);
    if (!failed || ++k.failures < kPatience) return;
    k.rest = 1 << std::min(k.failures, 10);
    k.last.clear();
  }

  std::shared_ptr<void> take(std::size_t bytes) {
    ++stats.blocks;
    if (!resting) {
      const auto block = static_cast<std::uint32_t>(lives.size());
      lives.push_back({.bytes = bytes, .taken = ++moment});
      if (by_plan) by_plan = may_have_place(block);
      if (by_plan && kind().plan.places[block].offset != ArenaPlan::kNowhere)
        return memory->block(kind().plan.places[block].offset, block);
    }
    ++stats.pool_blocks;
    return from_pool(bytes);
  }

  void returned(std::uint32_t block) { lives[block].returned = ++moment; }

 private:
  void choose_kind(std::int64_t kind_number) {
    const auto it = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const Kind& k) { return k.number == kind_number; });
    if (it != kinds.end()) {
      std::rotate(it, it + 1, kinds.end());
      return;
    }
    if (kinds.size() == kKinds) kinds.erase(kinds.begin());
    kinds.push_back({.number = kind_number});
  }

  /// Plans what the last step of the kind has shown, and has memory for it.
  void make_ready() {
    Kind& k = kind();
    if (!k.last.empty() && k.last.size() <= kMostBlocks) {
      k.plan = plan_arena(k.last);
      k.pool_bytes = pool_bytes_for(k.last);
      k.last.clear();
    }
    if (k.plan.empty()) return;
    const std::size_t bytes = memory ? memory->bytes() : 0, blocks = memory ? memory->blocks() : 0;
    if (memory && bytes >= k.plan.bytes && blocks >= k.plan.places.size()) return;
    drop_memory();
    pool_release_cache(Device::cpu());  // that is what the pool served such steps from
    memory = new ArenaMemory(std::max(bytes, k.plan.bytes), std::max(blocks, k.plan.places.size()),
                             &note_return);
    stats.bytes = memory->bytes();
  }

  void drop_memory() {
    if (memory) memory->drop();
    memory = nullptr;
    stats.bytes = 0;
  }

  bool may_have_place(std::uint32_t block) const {
    const ArenaPlan& plan = kinds.back().plan;
    if (block >= plan.places.size() || plan.places[block].bytes != lives[block].bytes) return false;
    const ArenaPlan::Place& place = plan.places[block];
    for (std::uint32_t i = place.before_begin; i < place.before_end; ++i)
      if (memory->is_out(plan.before[i])) return false;
    return true;
  }

  /// A block of the pool's whose return the step is told.
  std::shared_ptr<void> from_pool(std::size_t bytes) {
    std::shared_ptr<void> inner = pool_allocate_outside(Device::cpu(), bytes);
    if (resting) return inner;
    void* p = inner.get();
    const auto block = static_cast<std::uint32_t>(lives.size() - 1);
    return {p, [inner = std::move(inner), step = number, block](void*) mutable {
              for (State* s = running; s; s = s->outer)
                if (s->number == step) s->returned(block);
              inner.reset();
            }};
  }

  /// A return on another thread is none that the next step can count on: the block outlives.
  static void note_return(const ArenaMemory* memory, std::uint32_t block) {
    for (State* s = running; s; s = s->outer)
      if (s->memory == memory) s->returned(block);
  }
};

Arena::Arena() : state_(std::make_unique<State>()) {}
Arena::~Arena() = default;
Arena::Arena(Arena&&) noexcept = default;
Arena& Arena::operator=(Arena&&) noexcept = default;

Arena::Step::Step(Arena& arena, std::int64_t kind) { arena.state_->begin(kind); }
Arena::Step::~Step() { running->end(); }

Arena::Pause::Pause() : paused_(std::exchange(running, nullptr)) {}
Arena::Pause::~Pause() { running = paused_; }

ArenaStats Arena::stats() const {
  ArenaStats stats = state_->stats;
  for (const Kind& kind : state_->kinds)
    stats.pool_bytes = std::max(stats.pool_bytes, kind.pool_bytes);
  return stats;
}

namespace detail {

std::shared_ptr<void> arena_allocate(std::size_t bytes) {
  return running ? running->take(bytes) : nullptr;
}

}  // namespace detail

}  // namespace limbeck
