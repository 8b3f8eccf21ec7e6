// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/parallel.h>

#include <atomic>
#include <stdexcept>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ParallelTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_num_threads(GetParam()); }
  void TearDown() override { set_num_threads(before_); }

 private:
  const int before_ = num_threads();
};
INSTANTIATE_TEST_SUITE_P(Threads, ParallelTest, ::testing::Values(1, 2, 4, 16));

TEST_P(ParallelTest, EveryTaskRunsOnce) {
  EXPECT_EQ(num_threads(), GetParam());
  for (int repeat = 0; repeat < 200; ++repeat)
    for (std::int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      parallel_for(tasks, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
      for (const auto& r : runs) ASSERT_EQ(r, 1) << tasks << " tasks";
    }
}

TEST_P(ParallelTest, RangesCoverEverythingInFixedPieces) {
  for (std::int64_t n : {0, 1, 99, 100, 101, 1000}) {
    std::vector<std::int64_t> piece_of(static_cast<std::size_t>(n), -1);
    parallel_ranges(n, 100, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 100, 0);
      EXPECT_EQ(end, std::min(begin + 100, n));
      for (std::int64_t i = begin; i < end; ++i) piece_of[static_cast<std::size_t>(i)] = begin;
    });
    for (std::int64_t i = 0; i < n; ++i)
      EXPECT_EQ(piece_of[static_cast<std::size_t>(i)], i / 100 * 100);
  }
}

TEST_P(ParallelTest, NestedLoopsRun) {
  std::atomic<int> runs{0};
  parallel_for(8, [&](std::int64_t) { parallel_for(8, [&](std::int64_t) { ++runs; }); });
  EXPECT_EQ(runs, 64);
}

TEST_P(ParallelTest, ExceptionsArriveAfterAllTasksAndLeaveThePoolUsable) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> runs{0};
    EXPECT_THROW(parallel_for(16,
                              [&](std::int64_t i) {
                                ++runs;
                                if (i % 5 == 0) throw std::runtime_error("task");
                              }),
                 std::runtime_error);
    parallel_for(16, [&](std::int64_t) { ++runs; });
    EXPECT_GE(runs, 17);
  }
}

TEST(Parallel, Rejections) {
  expect_error([] { set_num_threads(0); }, "set_num_threads: 0; expected 1 to 256");
  expect_error([] { set_num_threads(257); }, "set_num_threads: 257; expected 1 to 256");
}

}  // namespace
}  // namespace limbeck::testing
