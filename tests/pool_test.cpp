// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/pool.h>

#include <cstdint>
#include <limits>
#include <new>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class PoolTest : public ::testing::Test {
 protected:
  static constexpr Device kCpu = Device::cpu();
  void SetUp() override { pool_release_cache(kCpu); }
};

TEST_F(PoolTest, CountsInUsePeakAndReserved) {
  const PoolStats before = pool_stats(kCpu);
  pool_reset_peak(kCpu);
  {
    const auto a = pool_allocate(kCpu, 1 << 20);
    const auto b = pool_allocate(kCpu, 1 << 20);
    EXPECT_EQ(pool_stats(kCpu).in_use, before.in_use + (2 << 20));
  }
  const PoolStats after = pool_stats(kCpu);
  EXPECT_EQ(after.in_use, before.in_use);
  EXPECT_EQ(after.peak, before.in_use + (2 << 20));
  EXPECT_EQ(after.reserved, before.reserved + (2 << 20));
  pool_reset_peak(kCpu);
  EXPECT_EQ(pool_stats(kCpu).peak, before.in_use);
  pool_release_cache(kCpu);
  EXPECT_EQ(pool_stats(kCpu).reserved, before.reserved);
}

TEST_F(PoolTest, CountsBlocksAndThoseFromTheSystem) {
  const PoolStats before = pool_stats(kCpu);
  { const auto first = pool_allocate(kCpu, 1 << 20); }
  EXPECT_EQ(pool_stats(kCpu).blocks, before.blocks + 1);
  EXPECT_EQ(pool_stats(kCpu).system_blocks, before.system_blocks + 1);
  const auto again = pool_allocate(kCpu, 1 << 20), more = pool_allocate(kCpu, 1 << 20);
  EXPECT_EQ(pool_stats(kCpu).blocks, before.blocks + 3);
  EXPECT_EQ(pool_stats(kCpu).system_blocks, before.system_blocks + 2);
  EXPECT_THROW(pool_allocate(kCpu, std::size_t{1} << 60), std::bad_alloc);
  EXPECT_EQ(pool_stats(kCpu).blocks, before.blocks + 3);
}

TEST_F(PoolTest, ReusesBlocksOfSimilarSize) {
  void* first = pool_allocate(kCpu, 1000000).get();
  EXPECT_EQ(pool_allocate(kCpu, 1000001).get(), first);
  EXPECT_NE(pool_allocate(kCpu, 2000000).get(), first);
}

TEST_F(PoolTest, BlocksAreAlignedAndOutliveTheOwnerWhoMadeThem) {
  for (std::size_t bytes : {0, 1, 63, 65, 1000, 100000}) {
    const auto p = pool_allocate(kCpu, bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p.get()) % 64, 0u);
  }
  auto a = pool_allocate(kCpu, 64);
  const auto b = a;
  a.reset();
  EXPECT_NE(pool_allocate(kCpu, 64).get(), b.get());
}

TEST_F(PoolTest, ImpossibleRequestsThrow) {
  EXPECT_THROW(pool_allocate(kCpu, std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace limbeck::testing
