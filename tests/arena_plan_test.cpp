// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/arena_plan.h>

#include <gtest/gtest.h>

#include <limbeck/core/philox.h>
#include <limbeck/core/pool.h>

namespace limbeck::testing {
namespace {

using Places = std::vector<std::size_t>;

constexpr std::uint32_t kOutlives = BlockLife::kOutlives;
constexpr std::size_t kNowhere = ArenaPlan::kNowhere;

Places offsets(const ArenaPlan& plan) {
  Places list;
  for (const auto& place : plan.places) list.push_back(place.offset);
  return list;
}

std::vector<std::uint32_t> before(const ArenaPlan& plan, std::size_t block) {
  const auto& place = plan.places[block];
  return {plan.before.begin() + place.before_begin, plan.before.begin() + place.before_end};
}

// 0: [1,4) 100 bytes, so 128; 1: [2,6) 64; 2: [3,..) outlives; 3: [5,8) 65, so 128; 4: [7,9) 64.
// The largest first: 0 to 0 and 3, after it, to 0 too; 1 lives with both, so behind them; 4 lives
// with 3 but after 1, so where 1 was.
TEST(ArenaPlan, PutsTheLargestFirstWhereItsTimeIsFree) {
  const std::vector<BlockLife> blocks = {
      {100, 1, 4}, {64, 2, 6}, {1000, 3, kOutlives}, {65, 5, 8}, {64, 7, 9}};
  const ArenaPlan plan = plan_arena(blocks);
  EXPECT_EQ(offsets(plan), (Places{0, 128, kNowhere, 0, 128}));
  EXPECT_EQ(plan.bytes, 192u);
  EXPECT_EQ(before(plan, 3), (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(before(plan, 4), (std::vector<std::uint32_t>{1}));
  for (const std::size_t first : {0, 1, 2}) EXPECT_TRUE(before(plan, first).empty());
}

// When 5 and 6 come, 1 and 3 have left gaps of 512 at 1024 and of 384 at 1984. 320 bytes fit into
// both; of what is left, 256 fit into the first only.
TEST(ArenaPlan, TakesTheSmallestGapThatFits) {
  const std::vector<BlockLife> blocks = {{1024, 1, 20}, {512, 2, 7},   {448, 3, 21}, {384, 4, 8},
                                         {352, 5, 22},  {320, 10, 23}, {256, 11, 24}};
  const ArenaPlan plan = plan_arena(blocks);
  EXPECT_EQ(offsets(plan), (Places{0, 1024, 1536, 1984, 2368, 1984, 1024}));
}

TEST(ArenaPlan, OfNothingIsEmpty) {
  EXPECT_TRUE(plan_arena({}).empty());
  EXPECT_EQ(plan_arena({}).bytes, 0u);
  const std::vector<BlockLife> one = {{0, 1, 2}};
  EXPECT_EQ(plan_arena(one).bytes, 64u);  // blocks of 0 bytes are blocks
}

/// A step of 200 moments: blocks of up to 3000 bytes are taken, and any that is out is returned.
std::vector<BlockLife> random_step(std::uint32_t seed) {
  std::vector<BlockLife> blocks;
  std::vector<std::size_t> out;
  for (std::uint32_t moment = 1; moment <= 200; ++moment) {
    const Philox4 draw = philox_block({.seed = seed}, moment);
    if (draw.x % 2 == 0 || out.empty()) {
      out.push_back(blocks.size());
      blocks.push_back({draw.y % 3000, moment});
    } else {
      const std::size_t which = draw.y % out.size();
      blocks[out[which]].returned = moment;
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
  return blocks;
}

bool share_bytes(const ArenaPlan::Place& a, const ArenaPlan::Place& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

TEST(ArenaPlan, NoTwoBlocksThatLiveTogetherShareBytes) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const std::vector<BlockLife> blocks = random_step(seed);
    const ArenaPlan plan = plan_arena(blocks);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (plan.places[b].offset == kNowhere) {
        EXPECT_EQ(blocks[b].returned, kOutlives);
        continue;
      }
      EXPECT_EQ(plan.places[b].offset % 64, 0u);
      EXPECT_LE(plan.places[b].offset + blocks[b].bytes, plan.bytes);
      for (std::size_t a = 0; a < b; ++a)
        if (plan.places[a].offset != kNowhere && share_bytes(plan.places[a], plan.places[b])) {
          EXPECT_LT(blocks[a].returned, blocks[b].taken) << "seed " << seed;
        }
    }
  }
}

// If all of `before` are gone, and each waited for its own, then all that ever shared bytes are.
TEST(ArenaPlan, BlocksBeforeLeadToAllThatSharedBytes) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const ArenaPlan plan = plan_arena(random_step(seed));
    std::vector<std::vector<bool>> known(plan.places.size());
    for (std::size_t b = 0; b < plan.places.size(); ++b) {
      known[b].resize(plan.places.size());
      for (const std::uint32_t a : before(plan, b)) {
        known[b][a] = true;
        for (std::size_t i = 0; i < a; ++i)
          if (known[a][i]) known[b][i] = true;
      }
      for (std::size_t a = 0; a < b; ++a)
        if (plan.places[a].offset != kNowhere && plan.places[b].offset != kNowhere &&
            share_bytes(plan.places[a], plan.places[b])) {
          EXPECT_TRUE(known[b][a]) << "seed " << seed << ": " << a << " before " << b;
        }
    }
  }
}

TEST(ArenaPlan, KnowsWhatThePoolWouldHold) {
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    std::vector<BlockLife> blocks = random_step(seed);
    std::erase_if(blocks, [](const BlockLife& b) { return b.returned == kOutlives; });
    pool_release_cache(Device::cpu());
    const std::size_t before_all = pool_stats(Device::cpu()).reserved;
    std::vector<std::shared_ptr<void>> out(blocks.size());
    for (std::uint32_t moment = 1; moment <= 200; ++moment)
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        if (blocks[b].taken == moment) out[b] = pool_allocate(Device::cpu(), blocks[b].bytes);
        if (blocks[b].returned == moment) out[b].reset();
      }
    EXPECT_EQ(pool_bytes_for(blocks), pool_stats(Device::cpu()).reserved - before_all);
    EXPECT_LT(plan_arena(blocks).bytes, pool_bytes_for(blocks));
  }
}

}  // namespace
}  // namespace limbeck::testing
