// SPDX-License-Identifier: Apache-2.0
// Checkpoints: an interrupted run ends in the same bits, and nothing destroys the last good one.
#include <limbeck/distill/checkpoint.h>

#include <csignal>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_run.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

/// A run that writes a checkpoint every 2 of its 9 steps; epochs have 3.
SmallRun checkpointed(SmallLoss loss, const std::string& file) {
  SmallRun run(loss);
  run.options.checkpoint = file;
  run.options.checkpoint_every = 2;
  run.options.report_every = 1;
  return run;
}

struct Interrupted {};

void train_until(SmallRun& run, std::int64_t step) {
  run.trainer().run([&](const Progress& p) {
    if (p.step == step) throw Interrupted();
  });
}

class CheckpointResume : public ::testing::TestWithParam<SmallLoss> {};

INSTANTIATE_TEST_SUITE_P(Losses, CheckpointResume,
                         ::testing::Values(SmallLoss::labels, SmallLoss::teacher,
                                           SmallLoss::teacher_logits));

TEST_P(CheckpointResume, EqualsTheUninterruptedRun) {
  const TemporaryFolder folder;
  const std::string file = folder.file("checkpoint.safetensors");
  SmallRun first = checkpointed(GetParam(), file);
  EXPECT_FALSE(first.trainer().resume());
  EXPECT_THROW(train_until(first, 6), Interrupted);  // the checkpoint is of step 4, mid-epoch
  SmallRun second = checkpointed(GetParam(), file);
  Trainer trainer = second.trainer();
  EXPECT_TRUE(trainer.resume());
  EXPECT_EQ(trainer.step(), 4);
  trainer.run();
  EXPECT_EQ(second.digest(), digest_after_training(GetParam()));
}

TEST(Checkpoint, AveragesGoOnToTheBit) {
  const TemporaryFolder folder;
  const auto run = [&] {
    SmallRun r = checkpointed(SmallLoss::labels, folder.file("c.safetensors"));
    r.options.recipe.ema_decay = 0.9;
    return r;
  };
  SmallRun whole = run();
  whole.options.checkpoint.clear();
  whole.trainer().run();
  SmallRun first = run();
  EXPECT_THROW(train_until(first, 6), Interrupted);
  SmallRun second = run();
  Trainer trainer = second.trainer();
  EXPECT_TRUE(trainer.resume());
  trainer.run();
  EXPECT_EQ(second.digest(), whole.digest());
  SmallRun without = run();
  without.options.recipe.ema_decay = 0;
  expect_error([&] { without.trainer().resume(); },
               "has averages of the weights; this run has none");
}

/// Runs in a process of its own, which kills itself at step 6.
void train_and_die(const std::string& file) {
  SmallRun run = checkpointed(SmallLoss::teacher, file);
  run.trainer().run([](const Progress& p) {
    if (p.step == 6) std::raise(SIGKILL);
  });
}

TEST(CheckpointDeathTest, SurvivesKill9) {
  // "threadsafe" starts this program anew for the child, so that it has threads of its own; both
  // must agree on the file, hence a fixed name.
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::string file =
      (std::filesystem::temp_directory_path() / "limbeck-test-kill9.safetensors").string();
  EXPECT_EXIT(train_and_die(file), ::testing::KilledBySignal(SIGKILL), "");
  SmallRun run = checkpointed(SmallLoss::teacher, file);
  Trainer trainer = run.trainer();
  ASSERT_TRUE(trainer.resume());
  EXPECT_EQ(trainer.step(), 4);
  trainer.run();
  EXPECT_EQ(run.digest(), digest_after_training(SmallLoss::teacher));
  std::filesystem::remove(file);
}

TEST(Checkpoint, FullDiskKeepsTheOldOne) {
  const TemporaryFolder folder;
  const std::string file = folder.file("checkpoint.safetensors");
  SmallRun run = checkpointed(SmallLoss::labels, file);
  EXPECT_THROW(train_until(run, 3), Interrupted);
  const std::string before = read_text(file);
  SmallRun second = checkpointed(SmallLoss::labels, file);
  Trainer trainer = second.trainer();
  trainer.resume();
  {
    const FileSizeLimit limit(4096);
    expect_error<IoError>([&] { trainer.run(); }, "checkpoint.safetensors.tmp: cannot write");
  }
  EXPECT_EQ(read_text(file), before);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"checkpoint.safetensors"});
}

TEST(Checkpoint, ANonFiniteRunKeepsTheLastGoodOne) {
  const TemporaryFolder folder;
  const std::string file = folder.file("checkpoint.safetensors");
  SmallRun run = checkpointed(SmallLoss::labels, file);
  EXPECT_THROW(train_until(run, 3), Interrupted);
  const std::string before = read_text(file);
  SmallRun broken = checkpointed(SmallLoss::labels, file);
  broken.options.recipe.schedule = {.lr = 1e39};
  Trainer trainer = broken.trainer();
  trainer.resume();
  expect_error<TrainingError>([&] { trainer.run(); },
                              "; the checkpoint of step 2 is kept in " + file);
  EXPECT_EQ(read_text(file), before);
}

TEST(Checkpoint, RefusesAnotherRunsFile) {
  const TemporaryFolder folder;
  const std::string file = folder.file("checkpoint.safetensors");
  SmallRun run = checkpointed(SmallLoss::labels, file);
  EXPECT_THROW(train_until(run, 3), Interrupted);
  const auto refuses = [&](const std::function<void(SmallRun&)>& change, const std::string& part) {
    SmallRun other = checkpointed(SmallLoss::labels, file);
    change(other);
    Trainer trainer = other.trainer();
    const std::string before = other.digest();
    expect_error([&] { trainer.resume(); }, part);
    EXPECT_EQ(other.digest(), before) << "a refused checkpoint changed the model";
  };
  refuses([](SmallRun& r) { r.options.seed = 9; },
          "is of a run with seed 5 and 9 steps; this one has seed 9 and 9");
  refuses([](SmallRun& r) { r.options.recipe.epochs = 4; },
          "is of a run with seed 5 and 9 steps; this one has seed 5 and 12");
  refuses([](SmallRun& r) { r.options.recipe.optimizer = AdamwConfig{}; }, "moment1");
}

TEST(Checkpoint, RefusesAnythingElse) {
  const TemporaryFolder folder;
  const std::string file = folder.file("checkpoint.safetensors");
  SmallRun run = checkpointed(SmallLoss::labels, file);
  Trainer trainer = run.trainer();
  save_weights(*run.student, file);
  expect_error<IoError>([&] { trainer.resume(); }, file + ": has no \"step\"; not a checkpoint");
  write_text(file, "garbage");
  expect_error<IoError>([&] { trainer.resume(); }, file);
}

}  // namespace
}  // namespace limbeck::testing
