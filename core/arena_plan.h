// SPDX-License-Identifier: Apache-2.0
// Where the blocks of a step lie in one memory, from when each was taken and given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace limbeck {

/// A block of a step. Moments count the takings and returns of the step, from 1.
struct BlockLife {
  static constexpr std::uint32_t kOutlives = UINT32_MAX;  ///< was not given back in the step
  std::size_t bytes = 0;
  std::uint32_t taken = 0;
  std::uint32_t returned = kOutlives;
};

/// Places of a step's blocks, by their number in the order of taking.
struct ArenaPlan {
  static constexpr std::size_t kNowhere = SIZE_MAX;  ///< the offset of a block that outlives
  struct Place {
    std::size_t bytes = 0;
    std::size_t offset = kNowhere;
    std::uint32_t before_begin = 0, before_end = 0;
  };
  std::vector<Place> places;
  /// Of block n, at [before_begin, before_end): those that had a part of its place last before it.
  /// When these are gone, all that ever had are: each waited for the ones before it.
  std::vector<std::uint32_t> before;
  std::size_t bytes = 0;  ///< of the memory

  bool empty() const { return places.empty(); }
};

/// Blocks that outlive the step get no place. Offsets are multiples of 64, and two blocks share
/// bytes only where one was returned before the other was taken. Greedy: the largest first, each
/// into the smallest gap that fits (Pisarchyk and Lee 2020, greedy by size).
ArenaPlan plan_arena(std::span<const BlockLife> blocks);

/// What the CPU's pool holds after it has served the same blocks one by one.
std::size_t pool_bytes_for(std::span<const BlockLife> blocks);

}  // namespace limbeck
