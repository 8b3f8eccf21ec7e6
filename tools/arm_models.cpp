// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_models.h>

#include <algorithm>

#include <limbeck/distill/tap.h>
#include <limbeck/nn/grow.h>

namespace limbeck {
namespace {

/// Models of the teacher's shape draw from random streams of their own, so that no student starts
/// as a part of one; further students from others.
constexpr std::uint64_t kTeacherStreams = std::uint64_t{1} << 63;
constexpr std::uint64_t kStudentStreams = std::uint64_t{1} << 56;

/// The rows an arm trains on; empty when it is all of them.
std::vector<std::int32_t> transfer_samples(const Arm& arm, const Dataset& data) {
  if (arm.omit_classes.empty() && arm.only_classes.empty()) return {};
  const auto named = [](const std::vector<std::int64_t>& list, std::int32_t label) {
    return std::find(list.begin(), list.end(), label) != list.end();
  };
  std::vector<std::int32_t> rows;
  const std::vector<std::int32_t> labels = data.labels.to_vector<std::int32_t>();
  for (std::size_t n = 0; n < labels.size(); ++n)
    if (arm.only_classes.empty() ? !named(arm.omit_classes, labels[n])
                                 : named(arm.only_classes, labels[n]))
      rows.push_back(static_cast<std::int32_t>(n));
  LIMBECK_CHECK(!rows.empty(), "arm \"", arm.name, "\": no sample of ", data.name,
                " is left to train on");
  return rows;
}

/// Of a learner's weights and dropout.
std::uint64_t learner_stream(const Arm& arm, std::size_t learner, std::uint64_t seed) {
  const bool reverse = arm.distill && arm.distill->mode == Mode::reverse;
  const bool teachers_shape = reverse || (arm.partner && learner == arm.distill->students);
  return teachers_shape ? teacher_stream(seed) : seed ^ (learner * kStudentStreams);
}

using Models = std::vector<std::unique_ptr<ModelGraph>>;

Models build_learners(const Arm& arm, const RunPlace& place, std::uint64_t seed) {
  Models models;
  const std::vector<std::string> names = learner_names(arm);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool partner = arm.partner && i + 1 == names.size();
    const Recipe& recipe = partner ? *arm.partner->recipe : arm.recipe;
    models.push_back(build_model(place.with_input(learner_model(place.experiment, names[i])),
                                 learner_stream(arm, i, seed), recipe.precision, place.device));
  }
  return models;
}

ArmData arm_data(const Arm& arm, const RunPlace& place, std::uint64_t seed, SeedModels& known) {
  ArmData data = {.seed = seed, .device = place.device, .classes = place.data.output()[-1]};
  data.fixed = !place.data.text && !arm.recipe.augment.any();
  data.samples = [&place, seed] { return place.samples({}, seed); };
  data.source_logits = [&known, source = arm.distill->source] {
    return known.train_logits(source);
  };
  return data;
}

ArmPlan plan_arm(const Arm& arm, const RunPlace& place, std::uint64_t seed, const Models& models,
                 SeedModels& known) {
  const Shape input = place.data.input();
  std::vector<ArmModel> learners;
  for (std::size_t i = 0; i < models.size(); ++i)
    learners.push_back({models[i].get(), input, arm.recipe, learner_stream(arm, i, seed)});
  if (!arm.distill) {
    ArmPlan alone;
    alone.participants = {{.model = models[0].get(), .recipe = arm.recipe, .seed = seed}};
    return alone;
  }
  const DistillConfig& config = *arm.distill;
  const ArmData data = arm_data(arm, place, seed, known);
  if (arm.partner) {
    learners.back().recipe = *arm.partner->recipe;
    return plan_mutual(config, learners, data);
  }
  if (config.source.empty()) return plan_lesson(config, learners[0], {}, data);
  ModelGraph& source = known.model(config.source);
  if (config.grow) grow(source, *models[0], with_batch(input, 1), {.seed = seed});
  return plan_lesson(config, learners[0], {&source, input}, data);
}

}  // namespace

std::uint64_t teacher_stream(std::uint64_t seed) { return seed ^ kTeacherStreams; }

ArmSetup set_up_arm(const Arm& arm, const RunPlace& place, std::uint64_t seed, SeedModels& known) {
  ArmSetup setup;
  setup.learners = build_learners(arm, place, seed);
  setup.plan = plan_arm(arm, place, seed, setup.learners, known);
  setup.options = {.seed = seed, .samples = transfer_samples(arm, place.data.images.train)};
  if (arm.distill) setup.options.order = arm.distill->order;
  setup.options.gated = setup.plan.gated;
  return setup;
}

}  // namespace limbeck
