// SPDX-License-Identifier: Apache-2.0
// Shuffles are permutations, differ by seed and epoch, and favour no place.
#include <limbeck/distill/shuffle.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace limbeck {
namespace {

std::vector<std::int32_t> count_to(std::int32_t n) {
  std::vector<std::int32_t> list(static_cast<std::size_t>(n));
  std::iota(list.begin(), list.end(), 0);
  return list;
}

TEST(Shuffle, IsAPermutation) {
  for (const std::int32_t n : {0, 1, 2, 1000}) {
    std::vector<std::int32_t> order = shuffled(count_to(n), 1, 0);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, count_to(n));
  }
}

TEST(Shuffle, DependsOnSeedAndEpochAlone) {
  const auto list = count_to(100);
  EXPECT_NE(shuffled(list, 1, 2), list);
  EXPECT_EQ(shuffled(list, 1, 2), shuffled(list, 1, 2));
  EXPECT_NE(shuffled(list, 1, 2), shuffled(list, 1, 3));
  EXPECT_NE(shuffled(list, 1, 2), shuffled(list, 2, 2));
}

TEST(Shuffle, FavoursNoPlace) {
  // 6000 epochs of three samples: each of the 6 orders is expected 1000 times, with a standard
  // deviation of sqrt(6000 / 6 * 5 / 6) = 29; 5 deviations are 144.
  int orders[27] = {};
  for (std::uint32_t epoch = 0; epoch < 6000; ++epoch) {
    const auto order = shuffled(count_to(3), 7, epoch);
    ++orders[order[0] * 9 + order[1] * 3 + order[2]];
  }
  std::sort(std::begin(orders), std::end(orders));
  EXPECT_EQ(orders[20], 0);  // 27 - 6 = 21 of the codes are no permutation
  EXPECT_NEAR(orders[21], 1000, 144);
  EXPECT_NEAR(orders[26], 1000, 144);
}

}  // namespace
}  // namespace limbeck
