// SPDX-License-Identifier: Apache-2.0
// Internal: which unit of a small layer each unit of a wider one copies.
#pragma once

#include <cstdint>
#include <vector>

namespace limbeck {

/// How the units of a wider layer are chosen: drawn: first the small one's, then copies of units
/// that a counter RNG draws. adjacent: unit j copies unit j small / big, so that copies lie next to
/// each other, as many of each as possible.
enum class UnitCopies { drawn, adjacent };
/// What is done with the weights that read a unit of which there are k copies: equal: each copy
/// gets 1/k of them. first: the first copy gets them and the others 0.
enum class UnitShares { equal, first };

/// Unit j of the big layer copies unit copy_of[j] of the `small` units.
struct UnitMap {
  std::vector<std::int64_t> copy_of;
  std::int64_t small = 0;

  std::int64_t big() const { return static_cast<std::int64_t>(copy_of.size()); }
  bool is_identity() const;
  /// Whether there are equally many copies of every unit.
  bool is_uniform() const;
  /// What each big unit's outgoing weights are multiplied with.
  std::vector<double> shares(UnitShares kind) const;
  /// Whether big unit j copies a unit that an earlier one copies too.
  std::vector<bool> is_repeat() const;
  bool operator==(const UnitMap&) const = default;
};

/// A map of `small` units to `big` >= small ones, in which every unit occurs: a function of its
/// arguments alone, so that layers of equal widths whose outputs are added agree.
UnitMap map_units(std::int64_t small, std::int64_t big, UnitCopies copies, std::uint64_t seed);
UnitMap identity_map(std::int64_t width);
/// The map of units that follow each other: those of each part in turn.
UnitMap concat_maps(const std::vector<UnitMap>& parts);
/// The map of `times` positions, each with the units of `map`: a flattened image.
UnitMap tile_map(const UnitMap& map, std::int64_t times);

}  // namespace limbeck
