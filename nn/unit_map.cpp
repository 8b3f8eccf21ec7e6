// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/unit_map.h>

#include <algorithm>

#include <limbeck/core/philox.h>

namespace limbeck {
namespace {

std::vector<std::int64_t> copies_of_each(const UnitMap& map) {
  std::vector<std::int64_t> count(static_cast<std::size_t>(map.small), 0);
  for (const std::int64_t unit : map.copy_of) ++count[static_cast<std::size_t>(unit)];
  return count;
}

}  // namespace

bool UnitMap::is_identity() const {
  for (std::size_t j = 0; j < copy_of.size(); ++j)
    if (copy_of[j] != static_cast<std::int64_t>(j)) return false;
  return big() == small;
}

bool UnitMap::is_uniform() const {
  const std::vector<std::int64_t> count = copies_of_each(*this);
  return std::all_of(count.begin(), count.end(), [&](std::int64_t c) { return c == count[0]; });
}

std::vector<bool> UnitMap::is_repeat() const {
  std::vector<bool> seen(static_cast<std::size_t>(small), false), repeat;
  for (const std::int64_t unit : copy_of) {
    repeat.push_back(seen[static_cast<std::size_t>(unit)]);
    seen[static_cast<std::size_t>(unit)] = true;
  }
  return repeat;
}

std::vector<double> UnitMap::shares(UnitShares kind) const {
  const std::vector<std::int64_t> count = copies_of_each(*this);
  const std::vector<bool> repeat = is_repeat();
  std::vector<double> share;
  for (std::size_t j = 0; j < copy_of.size(); ++j)
    if (kind == UnitShares::equal)
      share.push_back(1 / static_cast<double>(count[static_cast<std::size_t>(copy_of[j])]));
    else
      share.push_back(repeat[j] ? 0 : 1);
  return share;
}

UnitMap map_units(std::int64_t small, std::int64_t big, UnitCopies copies, std::uint64_t seed) {
  const RngStream stream = {seed, static_cast<std::uint32_t>(small),
                            static_cast<std::uint32_t>(big), RngPurpose::grow};
  const auto drawn = [&](std::int64_t j) {  // a word as a fraction of 2^32, times small
    const std::uint64_t word = philox_word(stream, static_cast<std::uint64_t>(j));
    return static_cast<std::int64_t>((word * static_cast<std::uint64_t>(small)) >> 32);
  };
  UnitMap map{{}, small};
  for (std::int64_t j = 0; j < big; ++j)
    map.copy_of.push_back(copies == UnitCopies::adjacent ? j * small / big
                          : j < small                    ? j
                                                         : drawn(j));
  return map;
}

UnitMap identity_map(std::int64_t width) {
  return map_units(width, width, UnitCopies::adjacent, 0);
}

UnitMap concat_maps(const std::vector<UnitMap>& parts) {
  UnitMap whole;
  for (const UnitMap& part : parts) {
    for (const std::int64_t unit : part.copy_of) whole.copy_of.push_back(whole.small + unit);
    whole.small += part.small;
  }
  return whole;
}

UnitMap tile_map(const UnitMap& map, std::int64_t times) {
  return concat_maps(std::vector<UnitMap>(static_cast<std::size_t>(times), map));
}

}  // namespace limbeck
