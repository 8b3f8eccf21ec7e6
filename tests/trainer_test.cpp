// SPDX-License-Identifier: Apache-2.0
// The trainer: what its result may and may not depend on.
#include <limbeck/distill/trainer.h>

#include <cmath>

#include <limbeck/kernels/gather.h>
#include <limbeck/tests/same_bits.h>
#include <limbeck/tests/small_run.h>

namespace limbeck::testing {
namespace {

class TrainerBits : public ::testing::TestWithParam<SmallLoss> {};

std::string loss_name(const ::testing::TestParamInfo<SmallLoss>& loss) {
  return loss.param == SmallLoss::labels    ? "labels"
         : loss.param == SmallLoss::teacher ? "teacher"
                                            : "teacher_logits";
}

INSTANTIATE_TEST_SUITE_P(Losses, TrainerBits,
                         ::testing::Values(SmallLoss::labels, SmallLoss::teacher,
                                           SmallLoss::teacher_logits),
                         loss_name);

TEST_P(TrainerBits, SameForAnyThreadsAndInstructionSet) {
  expect_same_bits([&] {
    SmallRun run(GetParam());
    run.trainer().run();
    std::vector<Tensor> weights;
    for (const NamedParameter& p : run.student->parameters()) weights.push_back(p.value.value());
    return weights;
  });
}

TEST_P(TrainerBits, SameForAnySplitOfTheBatch) {
  const std::string whole = digest_after_training(GetParam());
  EXPECT_EQ(digest_after_training(GetParam(), 2), whole);
  EXPECT_EQ(digest_after_training(GetParam(), 5), whole);  // parts of 26, the last of 24
}

// What every machine must get. A change here is a change of what limbeck computes: say why.
TEST(Trainer, EndsInTheCommittedDigests) {
  EXPECT_EQ(digest_after_training(SmallLoss::labels), "7f0d470d034dc7271df28cae8e8aa222");
  EXPECT_EQ(digest_after_training(SmallLoss::teacher), "b4342d6710e9adcef8cf2cb2796b3e8a");
  EXPECT_EQ(digest_after_training(SmallLoss::teacher_logits), "196c52916d9270c75360938fc221a31a");
}

TEST(Trainer, SeedChangesTheResult) {
  SmallRun run(SmallLoss::labels);
  run.options.seed = 6;
  run.trainer().run();
  EXPECT_NE(run.digest(), digest_after_training(SmallLoss::labels));
}

TEST(Trainer, LearnsItsTrainingData) {
  SmallRun run(SmallLoss::labels);
  run.options.recipe.epochs = 30;
  run.options.recipe.augment.vary.max_jitter = 0;
  std::vector<double> losses;
  run.trainer().run([&](const Progress& p) { losses.push_back(p.loss); });
  EXPECT_NEAR(losses.front(), std::log(10.0), 0.5);  // an untrained model knows nothing
  EXPECT_LT(losses.back(), 0.5 * losses.front());
}

/// The loss at the end of 10 epochs of a student in `dtype`, clipped and, in f16, scaled.
double loss_after_training_in(DType dtype) {
  SmallRun run(SmallLoss::teacher);
  run.student = build_model(
      {{28, 28, 1}, {layer("linear", 37), layer("relu"), layer("linear", 10)}}, 3, dtype);
  AdamwConfig adamw;
  adamw.parameters.gradients.max_norm = 1;
  if (dtype == DType::f16) adamw.parameters.gradients.loss_scaling = LossScaling{};
  run.options.recipe.optimizer = adamw;
  run.options.recipe.epochs = 10;
  double loss = 0;
  run.trainer().run([&](const Progress& p) { loss = p.loss; });
  return loss;
}

// Masters and losses are f32, so only products round to 16 bits: 1 % of the loss at most.
TEST(Trainer, SixteenBitStudentsLearnWhatFullOnesDo) {
  const double full = loss_after_training_in(DType::f32);
  for (const DType dtype : {DType::bf16, DType::f16})
    EXPECT_NEAR(loss_after_training_in(dtype), full, 0.01 * full) << dtype_name(dtype);
}

TEST(Trainer, EndsInTheAverageOfItsWeights) {
  SmallRun plain(SmallLoss::labels), averaged(SmallLoss::labels);
  averaged.options.recipe.ema_decay = 0.9;
  plain.trainer().run();
  Trainer trainer = averaged.trainer();
  trainer.run();
  const std::string digest = averaged.digest();
  EXPECT_NE(digest, plain.digest());
  trainer.run();  // nothing is left to do
  EXPECT_EQ(averaged.digest(), digest);
}

TEST(Trainer, ReportsEverySoManySteps) {
  SmallRun run(SmallLoss::labels);
  std::vector<std::int64_t> steps, epochs;
  run.trainer().run([&](const Progress& p) {
    steps.push_back(p.step);
    epochs.push_back(p.epoch);
    EXPECT_EQ(p.total_steps, 9);
  });
  EXPECT_EQ(steps, (std::vector<std::int64_t>{2, 4, 6, 8, 9}));
  EXPECT_EQ(epochs, (std::vector<std::int64_t>{0, 1, 1, 2, 2}));
}

TEST(Trainer, SamplesLeaveTheRestOut) {
  SmallRun some(SmallLoss::labels), all(SmallLoss::labels);
  std::vector<std::int32_t> rows;
  for (std::int32_t n = 0; n < 300; n += 3) rows.push_back(n);
  some.options.samples = rows;
  const Tensor index = Tensor::from(rows, {100});
  all.images = Tensor::empty({100, 28, 28, 1}, DType::u8);
  all.labels = Tensor::empty({100}, DType::i32);
  gather_rows(all.images, some.images, index);
  gather_rows(all.labels, some.labels, index);
  some.trainer().run();
  all.trainer().run();
  EXPECT_EQ(some.digest(), all.digest());
}

TEST(Trainer, LogitsComputedBeforeStandForTheTeacher) {
  SmallRun before(SmallLoss::teacher_logits), live(SmallLoss::teacher);
  live.options.recipe.augment.vary.max_jitter = 0;
  before.trainer().run();
  live.trainer().run();
  EXPECT_EQ(before.digest(), live.digest());
}

TEST(Trainer, EndsNearTheSameWeightsOnAGpu) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  SmallRun cpu(SmallLoss::teacher), gpu(SmallLoss::teacher, Device::cuda());
  for (SmallRun* run : {&cpu, &gpu}) {
    for (std::int32_t n = 0; n < 40; ++n) run->options.samples.push_back(n);
    run->options.recipe.batch = 20;
    run->options.recipe.accumulate = 2;
    run->trainer().run();
  }
  // Masks, jitter and order are the same bits. Six AdamW steps of 0.01 turn a gradient's rounding
  // into at most some 1e-3 of the weights where a gradient is nearly 0.
  const auto expected = cpu.student->parameters(), actual = gpu.student->parameters();
  for (std::size_t i = 0; i < expected.size(); ++i)
    expect_close(actual[i].value.value(), to_doubles(expected[i].value.value()), 1e-3,
                 expected[i].name);
}

TEST(Trainer, StopsWhenTheLossIsNotFinite) {
  SmallRun run(SmallLoss::labels);
  run.options.recipe.schedule = {.lr = 1e39};
  expect_error<TrainingError>([&] { run.trainer().run(); }, "of 9: the loss is ");
}

TEST(Trainer, Rejects) {
  const auto refuses = [](const std::function<void(SmallRun&)>& spoil, const std::string& part) {
    SmallRun run(SmallLoss::teacher_logits);
    spoil(run);
    expect_error([&] { run.trainer(); }, part);
  };
  refuses([](SmallRun& r) { r.options.recipe.epochs = 0; }, "epochs is 0; expected >= 1");
  refuses([](SmallRun& r) { r.options.recipe.batch = 0; }, "batch is 0; expected >= 1");
  refuses([](SmallRun& r) { r.options.recipe.accumulate = 129; },
          "accumulate is 129; expected 1..batch, which is 128");
  refuses([](SmallRun& r) { r.options.report_every = 0; }, "report_every is 0");
  refuses([](SmallRun& r) { r.options.distill.reset(); }, "a teacher but no loss to use it");
  refuses([](SmallRun& r) { r.targets = {}; }, "a distillation loss but no teacher");
  refuses([](SmallRun& r) { r.options.recipe.augment.vary.max_jitter = 2; },
          "teacher logits computed before for data that is augmented");
  refuses([](SmallRun& r) { r.labels = Tensor::zeros({299}, DType::i32); },
          "images have shape (300,28,28,1), labels (299)");
  refuses([](SmallRun& r) { r.options.recipe.schedule.lr = -1; }, "lr is -1");
  SmallRun unset(SmallLoss::teacher_logits);
  unset.options.distill = KdLossOptions{.kd_weight = 1, .ce_weight = 0};
  expect_error([&] { unset.trainer().run(); }, "tau was not set");
}

}  // namespace
}  // namespace limbeck::testing
