// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/arena_plan.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>

#include <limbeck/core/pool.h>

namespace limbeck {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t aligned(std::size_t bytes) {
  return std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
}

bool outlives(const BlockLife& block) { return block.returned == BlockLife::kOutlives; }

bool live_together(const BlockLife& a, const BlockLife& b) {
  return a.taken < b.returned && b.taken < a.returned;
}

/// Numbers of the blocks that get a place, the largest first.
std::vector<std::uint32_t> by_size(std::span<const BlockLife> blocks) {
  std::vector<std::uint32_t> order;
  for (std::uint32_t n = 0; n < blocks.size(); ++n)
    if (!outlives(blocks[n])) order.push_back(n);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return blocks[a].bytes > blocks[b].bytes;
  });
  return order;
}

/// The offset of the smallest gap for `block` between those of `placed`, by their offsets, that
/// live at a time with it; else behind them all.
std::size_t best_offset(const BlockLife& block, std::span<const BlockLife> blocks,
                        const std::vector<std::uint32_t>& placed, const ArenaPlan& plan) {
  const std::size_t size = aligned(block.bytes);
  std::size_t end = 0, best = ArenaPlan::kNowhere, best_gap = SIZE_MAX;
  for (const std::uint32_t n : placed) {
    if (!live_together(block, blocks[n])) continue;
    const std::size_t offset = plan.places[n].offset;
    if (offset > end && offset - end >= size && offset - end < best_gap) {
      best = end;
      best_gap = offset - end;
    }
    end = std::max(end, offset + aligned(blocks[n].bytes));
  }
  return best == ArenaPlan::kNowhere ? end : best;
}

void place_all(std::span<const BlockLife> blocks, ArenaPlan& plan) {
  std::vector<std::uint32_t> placed;  // by offset
  for (const std::uint32_t n : by_size(blocks)) {
    const std::size_t offset = best_offset(blocks[n], blocks, placed, plan);
    plan.places[n].offset = offset;
    plan.bytes = std::max(plan.bytes, offset + aligned(blocks[n].bytes));
    const auto at =
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](std::size_t o, std::uint32_t m) { return o < plan.places[m].offset; });
    placed.insert(at, n);
  }
}

/// Who had which bytes last: owners of ranges, by the ranges' ends.
class LastOwners {
 public:
  /// Gives [begin, end) to `owner` and adds who had parts of it to `before`, each once.
  void pass_on(std::size_t begin, std::size_t end, std::uint32_t owner,
               std::vector<std::uint32_t>& before) {
    const auto first_new = static_cast<std::ptrdiff_t>(before.size());
    auto it = ranges_.upper_bound(begin);
    while (it != ranges_.end() && it->second.begin < end) {
      const auto [range_end, range] = *it;
      it = ranges_.erase(it);
      if (std::find(before.begin() + first_new, before.end(), range.owner) == before.end())
        before.push_back(range.owner);
      if (range.begin < begin) ranges_[begin] = range;
      if (range_end > end) ranges_[range_end] = {end, range.owner};
    }
    ranges_[end] = {begin, owner};
  }

 private:
  struct Range {
    std::size_t begin;
    std::uint32_t owner;
  };
  std::map<std::size_t, Range> ranges_;
};

void link_to_those_before(ArenaPlan& plan) {
  LastOwners owners;
  for (std::uint32_t n = 0; n < plan.places.size(); ++n) {
    ArenaPlan::Place& place = plan.places[n];
    place.before_begin = static_cast<std::uint32_t>(plan.before.size());
    if (place.offset != ArenaPlan::kNowhere)
      owners.pass_on(place.offset, place.offset + aligned(place.bytes), n, plan.before);
    place.before_end = static_cast<std::uint32_t>(plan.before.size());
  }
}

}  // namespace

ArenaPlan plan_arena(std::span<const BlockLife> blocks) {
  ArenaPlan plan;
  for (const BlockLife& block : blocks) plan.places.push_back({.bytes = block.bytes});
  place_all(blocks, plan);
  link_to_those_before(plan);
  return plan;
}

std::size_t pool_bytes_for(std::span<const BlockLife> blocks) {
  std::map<std::uint32_t, std::pair<std::size_t, int>> events;  // moment: block size, +1 or -1
  for (const BlockLife& block : blocks) {
    if (outlives(block)) continue;
    const std::size_t size = pool_block_size(Device::cpu(), block.bytes);
    events[block.taken] = {size, 1};
    events[block.returned] = {size, -1};
  }
  std::map<std::size_t, std::pair<int, int>> counts;  // block size: now and at most
  for (const auto& [moment, event] : events) {
    auto& [now, most] = counts[event.first];
    now += event.second;
    most = std::max(most, now);
  }
  std::size_t bytes = 0;
  for (const auto& [size, count] : counts) bytes += size * static_cast<std::size_t>(count.second);
  return bytes;
}

}  // namespace limbeck
