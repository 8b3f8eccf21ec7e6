// SPDX-License-Identifier: Apache-2.0
// Steps of a run in their arena.
#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_run.h>

namespace limbeck::testing {
namespace {

class TrainerArena : public ::testing::TestWithParam<SmallLoss> {
 protected:
  void SetUp() override { set_num_threads(1); }
  void TearDown() override { set_num_threads(before_); }

 private:
  const int before_ = num_threads();
};

INSTANTIATE_TEST_SUITE_P(Losses, TrainerArena,
                         ::testing::Values(SmallLoss::labels, SmallLoss::teacher,
                                           SmallLoss::teacher_logits));

TEST_P(TrainerArena, ChangesNoBit) {
  for (const int threads : {1, 4})
    for (const std::int64_t accumulate : {1, 5}) {
      set_num_threads(threads);
      SmallRun with(GetParam()), without(GetParam());
      for (SmallRun* run : {&with, &without}) run->options.recipe.accumulate = accumulate;
      without.options.arena = false;
      Trainer trainer = with.trainer(), other = without.trainer();
      trainer.run();
      other.run();
      EXPECT_EQ(with.digest(), without.digest()) << threads << " threads, " << accumulate;
      // Of nine steps the first two of whole batches and the first of the rest show what they need.
      EXPECT_EQ(trainer.memory().planned_steps, 6);
      EXPECT_EQ(other.memory().steps, 0);
    }
}

/// Blocks that the steps from number `first` on took from the pool, and those from the system.
std::pair<std::uint64_t, std::uint64_t> blocks_from(SmallRun& run, std::int64_t first) {
  run.options.report_every = 1;
  PoolStats before;
  run.trainer().run([&](const Progress& done) {
    if (done.step == first) before = pool_stats(Device::cpu());
  });
  const PoolStats after = pool_stats(Device::cpu());
  return {after.blocks - before.blocks, after.system_blocks - before.system_blocks};
}

TEST_P(TrainerArena, StepsAfterTheThirdTakeNoBlock) {
  SmallRun run(GetParam());
  run.options.recipe.batch = 30;
  run.options.recipe.epochs = 1;
  const auto [blocks, system_blocks] = blocks_from(run, 3);
  EXPECT_EQ(blocks, 0u);
  EXPECT_EQ(system_blocks, 0u);
}

// But for the order of the samples, one tensor per epoch.
TEST_P(TrainerArena, ShorterBatchesKeepThePlanOfWholeOnes) {
  SmallRun run(GetParam());
  run.options.recipe.epochs = 6;
  const auto [blocks, system_blocks] = blocks_from(run, 6);
  EXPECT_EQ(blocks, 4u);
  EXPECT_EQ(system_blocks, 0u);
}

TEST_P(TrainerArena, IsSmallerThanWhatThePoolWouldHold) {
  SmallRun run(GetParam());
  Trainer trainer = run.trainer();
  trainer.run();
  EXPECT_GT(trainer.memory().bytes, 128u * 28 * 28 * sizeof(float));  // the batch at least
  EXPECT_LE(trainer.memory().bytes, trainer.memory().pool_bytes);
}

}  // namespace
}  // namespace limbeck::testing
