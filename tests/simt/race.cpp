// SPDX-License-Identifier: Apache-2.0
// The race checker: finds, in one run under one schedule, accesses that nothing orders, reads of
// shared memory nobody wrote, and addresses a kernel must not touch. Order comes from the program
// within a thread, barriers within a block, a cluster or the grid, sync_warp within a warp, and
// from thread_fence followed by an atomic between blocks; shuffles and ballots order no memory. The
// target of a copy belongs to nobody until a thread has waited for it, and goes back to bulk copies
// by way of fence_copies and a barrier.
#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/observer.h>
#include <limbeck/tests/simt/shadow.h>
#include <limbeck/tests/simt/source_line.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

/// clock[lane] counts a lane's sync_warps; seen[a][b] is the clock of b that a has met.
struct WarpClocks {
  std::uint32_t clock[32];
  std::uint32_t seen[32][32] = {};
  WarpClocks() { std::fill_n(clock, 32, 1u); }
};

/// What an atomic made visible of its block's writes: those before some fence's epoch, and those
/// of the fencing threads themselves.
struct Release {
  std::map<unsigned, std::uint32_t> fences;  // thread to epoch
  std::uint32_t last_epoch = 0;

  bool covers(const Record& r) const {
    const auto own = fences.find(r.thread);
    return r.epoch < last_epoch || (own != fences.end() && r.epoch <= own->second);
  }
};
/// A release met by an atomic of another block: valid for its thread, and for all after `epoch`.
struct Acquire {
  Release release;
  std::uint32_t epoch, thread;
};

struct BlockHistory {
  std::uint32_t epoch = 1;
  std::map<unsigned, WarpClocks> warps;
  std::map<unsigned, std::uint32_t> fence_epochs;                 // by thread
  std::map<unsigned, std::uint32_t> copy_fences;                  // likewise, of fence_copies
  std::map<std::pair<unsigned, unsigned>, std::uint32_t> phases;  // seen, by Record::thread, thread
  std::map<std::uint32_t, Acquire> acquired;                      // by block
  std::uint32_t cluster_epoch = 0;  // began with the last sync_cluster
};

class RaceChecker final : public Observer {
 public:
  void begin_launch(const Kernel& kernel) override {
    kernel_ = &kernel;
    shadow_.clear();
    blocks_.clear();
    released_.clear();
    grid_epoch_ = 0;
    device_ = {};
    last_block_ = nullptr;
  }

  void access(const void* p, std::size_t bytes, Access kind, const void* pc) override {
    const Thread& me = self();
    if (is_private(me, p, bytes)) return;
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    const bool shared = find_in_cluster(me, p) != nullptr;
    if (!shared && !on_device(p, bytes)) {
      if (kind == Access::read && is_constant(p)) return;
      report(kind, pc,
             concat(bytes, " bytes at ", p, ", which is neither device memory nor its own"));
    }
    const Record now = record(me, kind, pc);
    if (kind == Access::atomic && !shared) exchange(address, now);
    shadow_.visit(address, bytes, [&](Cell& cell) {
      if (shared && (is_read(kind) || kind == Access::atomic) && !cell.write.exists())
        report(kind, pc, concat(name(address), ", which no thread of the block has written"));
      if (kind != Access::copy_end) check(cell, now, kind, address);
      if (kind == Access::bulk_start) check_fenced(cell, now, address);
      if (kind != Access::barrier) update(cell, now, kind);
    });
  }

  // The blocks go on in an epoch that is later than any of theirs.
  void synchronised(std::span<const Block> blocks, Scope scope) override {
    std::uint32_t epoch = 0;
    for (const Block& block : blocks) epoch = std::max(epoch, history(block).epoch + 1);
    for (const Block& block : blocks) {
      history(block).epoch = epoch;
      if (scope == Scope::one_cluster) history(block).cluster_epoch = epoch;
    }
    if (scope == Scope::whole_grid) grid_epoch_ = epoch;
  }

  void warp_synchronised(const Thread& thread, unsigned mask) override {
    WarpClocks& warp = history(*thread.block).warps[thread.index / 32];
    std::uint32_t met[32];
    for (int lane = 0; lane < 32; ++lane) {
      met[lane] = 0;
      for (int i = 0; i < 32; ++i)
        if (mask >> i & 1)
          met[lane] = std::max(met[lane], i == lane ? warp.clock[i] : warp.seen[i][lane]);
    }
    for (int i = 0; i < 32; ++i)
      if (mask >> i & 1) {
        std::copy_n(met, 32, warp.seen[i]);
        ++warp.clock[i];
      }
  }

  void fenced(const Thread& thread) override {
    BlockHistory& block = history(*thread.block);
    block.fence_epochs[thread.index] = block.epoch;
  }

  void bulk_arrived(const Block& block, const BulkCopy& copy, const CopyPhases& barrier) override {
    Record by;
    by.block = static_cast<std::uint32_t>(block.index);
    by.epoch = history(block).epoch;
    by.thread = number(block, barrier);
    by.clock = barrier.phase;
    by.pc = copy.pc;
    shadow_.visit(reinterpret_cast<std::uintptr_t>(copy.to), copy.bytes, [&](Cell& cell) {
      cell = {by, {}, {}};
    });
    shadow_.visit(reinterpret_cast<std::uintptr_t>(copy.from), copy.bytes, [&](Cell& cell) {
      const bool mine = !cell.read.exists() || cell.read.pc == copy.pc;
      (mine ? cell.read : cell.other_read) = by;  // in place of its start
    });
  }

  void waited(const Thread& thread, const CopyPhases& barrier) override {
    const Block& block = *thread.block;
    history(block).phases[{number(block, barrier), thread.index}] = barrier.phase;
  }

  void copies_fenced(const Thread& thread) override {
    BlockHistory& block = history(*thread.block);
    block.copy_fences[thread.index] = block.epoch;
  }

  void block_finished(const Block& block) override {
    for (const SharedArray& a : block.shared)
      shadow_.forget(reinterpret_cast<std::uintptr_t>(a.begin), a.bytes);
    blocks_.erase(block.index);
    last_block_ = nullptr;
  }

 private:
  static bool is_read(Access kind) { return kind == Access::read || kind == Access::barrier; }

  bool is_private(const Thread& me, const void* p, std::size_t bytes) const {
    const auto* arguments = static_cast<const char*>(kernel_->params);
    return Allocation{me.fiber.stack(), kStackBytes}.contains(p, bytes) ||
           Allocation{arguments, kernel_->params_bytes}.contains(p, bytes);
  }

  static const SharedArray* find_in_cluster(const Thread& me, const void* p) {
    for (const Block& block : me.block->cluster->blocks)
      if (!block.done())
        if (const SharedArray* a = find_shared(block, p)) return a;
    return nullptr;
  }

  bool on_device(const void* p, std::size_t bytes) {
    if (!device_.contains(p, 1)) device_ = find_allocation(p);
    return device_.contains(p, bytes);
  }

  static std::uint16_t number(const Block& block, const CopyPhases& barrier) {
    return static_cast<std::uint16_t>(Record::kBulk + (&barrier - block.copy_barriers.data()));
  }

  BlockHistory& history(const Block& block) {
    if (last_block_ == nullptr || last_block_index_ != block.index) {
      last_block_index_ = block.index;
      last_block_ = &blocks_[block.index];
    }
    return *last_block_;
  }

  Record record(const Thread& me, Access kind, const void* pc) {
    BlockHistory& block = history(*me.block);
    Record r;
    r.block = static_cast<std::uint32_t>(me.block->index);
    r.epoch = block.epoch;
    r.thread = static_cast<std::uint16_t>(me.index);
    r.clock = block.warps[me.index / 32].clock[me.lane()];
    r.atomic = kind == Access::atomic;
    r.copying = kind == Access::copy_start || kind == Access::bulk_start;
    r.pc = pc;
    return r;
  }

  /// An atomic after a fence releases; every atomic acquires what others released through it.
  void exchange(std::uintptr_t address, const Record& now) {
    BlockHistory& here = *last_block_;
    auto& releases = released_[address];
    Release mine;
    for (const auto& [thread, epoch] : here.fence_epochs)
      if (epoch < now.epoch || thread == now.thread) {
        mine.fences[thread] = epoch;
        mine.last_epoch = std::max(mine.last_epoch, epoch);
      }
    if (!mine.fences.empty()) releases[now.block] = mine;
    for (const auto& [block, release] : releases)
      if (block != now.block) here.acquired[block] = {release, now.epoch, now.thread};
  }

  bool ordered(const Record& before, const Record& now) {
    if (before.same_thread(now)) return true;
    BlockHistory& here = *last_block_;
    if (before.block == now.block) {
      if (before.epoch < now.epoch) return true;
      if (before.is_bulk()) {
        const auto seen = here.phases.find({before.thread, now.thread});
        return seen != here.phases.end() && seen->second > before.clock;
      }
      return before.thread / 32 == now.thread / 32 &&
             here.warps[now.thread / 32].seen[now.thread % 32][before.thread % 32] >= before.clock;
    }
    if (before.epoch < grid_epoch_) return true;
    const std::uint32_t size = grid.launch->cluster;
    if (before.block / size == now.block / size && before.epoch < here.cluster_epoch) return true;
    const auto found = here.acquired.find(before.block);
    if (found == here.acquired.end()) return false;
    const auto& [release, epoch, thread] = found->second;
    return release.covers(before) && (now.epoch > epoch || now.thread == thread);
  }

  void check(const Cell& cell, const Record& now, Access kind, std::uintptr_t address) {
    if (cell.write.copying)
      report(kind, now.pc,
             concat(name(address), ", where the copy of thread ", cell.write.thread, " at ",
                    source_line(cell.write.pc), " is still under way"));
    const auto against = [&](const Record& before, const char* did) {
      if (!before.exists() || (before.atomic && now.atomic) || ordered(before, now)) return;
      report(kind, now.pc,
             concat(name(address), before.is_bulk() ? "; a bulk copy" : "; thread ",
                    before.is_bulk() ? "" : std::to_string(before.thread), " of block ",
                    before.block, " ", did, " it at ", source_line(before.pc),
                    " and nothing orders the two: a race"));
    };
    against(cell.write, "wrote");
    if (is_read(kind)) return;
    against(cell.read, "read");
    against(cell.other_read, "read");
  }

  /// Lenient where a thread fences and accesses between the same two barriers.
  void check_fenced(const Cell& cell, const Record& now, std::uintptr_t address) {
    const auto& fences = last_block_->copy_fences;
    for (const Record& before : {cell.write, cell.read, cell.other_read}) {
      if (!before.exists() || before.is_bulk() || before.block != now.block) continue;
      const auto fence = fences.find(before.thread);
      if (fence == fences.end() || fence->second < before.epoch)
        report(Access::bulk_start, now.pc,
               concat(name(address), ", but thread ", before.thread, ", which used it at ",
                      source_line(before.pc), ", has not called fence_copies since"));
    }
  }

  void update(Cell& cell, const Record& now, Access kind) {
    if (kind != Access::read)
      cell = {now, {}, {}};
    else if (!cell.read.exists() || ordered(cell.read, now))
      cell.read = now;
    else
      cell.other_read = now;
  }

  std::string name(std::uintptr_t address) {
    const auto* p = reinterpret_cast<const void*>(address);  // NOLINT(performance-no-int-to-ptr)
    if (const SharedArray* a = find_in_cluster(self(), p))
      return concat("byte ", address - reinterpret_cast<std::uintptr_t>(a->begin), " of shared '",
                    a->name, "'");
    return concat("byte ", address - reinterpret_cast<std::uintptr_t>(device_.begin),
                  " of device memory of ", device_.bytes, " bytes");
  }

  [[noreturn]] static void report(Access kind, const void* pc, const std::string& what) {
    constexpr const char* kVerbs[] = {"reads ",     "writes ", "updates ", "copies to ",
                                      "copies to ", "",        "uses "};
    abandon(concat(" at ", source_line(pc), ": ", kVerbs[static_cast<int>(kind)], what));
  }

  const Kernel* kernel_ = nullptr;
  Shadow shadow_;
  std::unordered_map<std::uint64_t, BlockHistory> blocks_;
  std::unordered_map<std::uintptr_t, std::map<std::uint32_t, Release>> released_;
  std::uint32_t grid_epoch_ = 0;  // began with the last sync_grid
  Allocation device_;             // touched last
  std::uint64_t last_block_index_ = 0;
  BlockHistory* last_block_ = nullptr;
};

}  // namespace

Observer& race_checker() {
  static RaceChecker checker;
  return checker;
}

}  // namespace limbeck::simt
