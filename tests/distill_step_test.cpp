// SPDX-License-Identifier: Apache-2.0
// A loop of one's own around DistillStep against the trainer's.
#include <limbeck/distill/distill_step.h>

#include <numeric>

#include <limbeck/distill/shuffle.h>
#include <limbeck/distill/trainer.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/weights.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_run.h>

namespace limbeck::testing {
namespace {

std::vector<Participant> participants_of(SmallRun& run) {
  Participant student{.name = "student", .model = run.student.get(), .recipe = run.options.recipe};
  student.seed = run.options.seed;
  Participant teacher;
  teacher.name = "teacher";
  teacher.model = run.teacher.get();
  teacher.state = ModelState::frozen_eval;
  return {student, teacher};
}

std::vector<Lesson> lessons_of(const SmallRun& run) {
  Lesson lesson;
  lesson.sources = {1};
  lesson.logits = run.options.distill;
  return {lesson};
}

constexpr std::int64_t kBatch = 100, kSteps = 9;  // three epochs of 300 samples

TEST(DistillStep, ALoopOfOnesOwnEndsInTheTrainersWeights) {
  SmallRun own(SmallLoss::teacher), trained(SmallLoss::teacher);
  for (SmallRun* run : {&own, &trained}) {
    run->options.recipe.batch = kBatch;
    run->options.recipe.augment = {};
    run->data = std::make_unique<TensorSource>(run->images, run->labels, 10, Preprocess{});
  }
  Trainer trainer(participants_of(trained), lessons_of(trained), *trained.data, {.seed = 5});
  trainer.run();

  DistillStep step(participants_of(own), lessons_of(own), kSteps);
  for (std::int64_t t = 0; t < kSteps; ++t) {
    std::vector<std::int32_t> all(300);
    std::iota(all.begin(), all.end(), 0);
    const auto epoch = static_cast<std::uint32_t>(t / 3);
    own.data->begin_epoch(shuffled(all, 5, epoch), epoch);
    const Tensor loss = step(own.data->fetch(t % 3 * kBatch, (t % 3 + 1) * kBatch, 0), t);
    EXPECT_GT(loss.item(), 0);
  }
  EXPECT_EQ(weights_digest(*own.student), weights_digest(*trained.student));
}

// A teacher that is changed between steps, as an average of its student is, teaches what it is.
TEST(DistillStep, ATeacherMayChangeBetweenSteps) {
  const auto loss_of_step = [](bool changed_before) {
    SmallRun run(SmallLoss::teacher);
    TensorSource data(run.images, run.labels, 10, Preprocess{});
    data.begin_epoch({0, 1, 2, 3, 4, 5, 6, 7}, 0);
    const auto change = [&] { initialize(*run.teacher, Init::torch_default, 9); };
    if (changed_before) change();
    DistillStep step(participants_of(run), lessons_of(run), kSteps);
    if (!changed_before) change();
    return step(data.fetch(0, 8, 0), 0).item();
  };
  EXPECT_EQ(loss_of_step(true), loss_of_step(false));
}

TEST(DistillStep, ABatchOfOnesOwn) {
  const Tensor x = Tensor::zeros({3, 4}),
               labels = Tensor::from(std::vector<std::int32_t>{0, 1, 0}, {3});
  const Batch batch = batch_of(x, labels);
  EXPECT_EQ(batch.targets, 3);
  EXPECT_EQ(batch.samples.to_vector<std::int32_t>(), (std::vector<std::int32_t>{0, 1, 2}));
  expect_error([&] { batch_of(x, Tensor::zeros({2}, DType::i32)); },
               "batch_of: x has shape (3,4), labels i32(2); expected i32 labels for N samples");
  expect_error([&] { batch_of(x, Tensor::zeros({3})); },
               "batch_of: x has shape (3,4), labels f32(3)");
}

TEST(DistillStep, RefusesWhatMakesNoStep) {
  SmallRun run(SmallLoss::teacher);
  const auto lessons = lessons_of(run);
  expect_error([&] { DistillStep(participants_of(run), lessons, 0); },
               "DistillStep: total_steps is 0; expected >= 1");
  auto frozen = participants_of(run);
  frozen[0].state = ModelState::frozen_eval;
  expect_error([&] { DistillStep(frozen, {}, 1); }, "none of 2 participants is trainable");
  auto missing = lessons;
  missing[0].sources = {2};
  expect_error([&] { DistillStep(participants_of(run), missing, 1); },
               "a lesson is from participant 2; there are 2");
}

}  // namespace
}  // namespace limbeck::testing
