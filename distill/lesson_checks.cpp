// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/lesson_checks.h>

#include <algorithm>

namespace limbeck {
namespace {

void check_recipe(const Participant& participant) {
  const Recipe& recipe = participant.recipe;
  LIMBECK_CHECK(recipe.epochs >= 1, "Trainer: epochs is ", recipe.epochs, "; expected >= 1");
  LIMBECK_CHECK(recipe.batch >= 1, "Trainer: batch is ", recipe.batch, "; expected >= 1");
  LIMBECK_CHECK(recipe.accumulate >= 1 && recipe.accumulate <= recipe.batch,
                "Trainer: accumulate is ", recipe.accumulate, "; expected 1..batch, which is ",
                recipe.batch);
}

void check_participants(const std::vector<Participant>& participants) {
  const Participant* first = nullptr;
  for (const Participant& p : participants) {
    const int given = (p.model != nullptr) + p.logits.defined() + p.top.logits.defined();
    LIMBECK_CHECK(given == 1, "Trainer: \"", p.name, "\" has ", given,
                  " of a model, logits and largest logits; expected one of them");
    if (!p.trainable()) continue;
    if (!first) first = &p;
    const Recipe &a = first->recipe, &b = p.recipe;
    LIMBECK_CHECK(b.accumulate >= 1, "Trainer: accumulate is ", b.accumulate, "; expected >= 1");
    LIMBECK_CHECK(a.epochs == b.epochs && a.batch == b.batch && a.accumulate == b.accumulate,
                  "Trainer: \"", first->name, "\" learns for ", a.epochs, " epochs of batches of ",
                  a.batch, " in ", a.accumulate, " parts, \"", p.name, "\" for ", b.epochs, " of ",
                  b.batch, " in ", b.accumulate, "; expected the same");
  }
  LIMBECK_CHECK(first, "Trainer: none of ", participants.size(),
                " participants is trainable; expected at least one");
}

/// What was computed before is of the data as it is.
void check_stored(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons,
                  const BatchSource& data) {
  for (const Participant& p : participants)
    LIMBECK_CHECK(p.model || !data.augments(),
                  "Trainer: teacher logits computed before for data that is augmented; expected no "
                  "augmentation, or the teacher's model");
  for (const Lesson& lesson : lessons)
    for (const FeatureLesson& feature : lesson.features)
      LIMBECK_CHECK(!feature.codes.defined() || !data.augments(), "Trainer: codes of layer \"",
                    feature.source, "\" computed before for data that is augmented; expected no ",
                    "augmentation, or the source's model");
}

void check_feature(const FeatureLesson& feature, const Participant& receiver) {
  LIMBECK_CHECK(feature.loss && feature.weight >= 0, "Trainer: the lesson of layer \"",
                feature.receiver, "\" has ", feature.loss ? "weight " : "no loss and weight ",
                feature.weight, "; expected a loss and a weight >= 0");
  const bool moving = feature.statistics && feature.statistics->momentum > 0;
  LIMBECK_CHECK(receiver.recipe.accumulate == 1 || (feature.loss->per_sample() && !moving),
                "Trainer: ", feature.loss->describe(), " of layer \"", feature.receiver,
                "\" is a loss of the whole batch, which is computed in ",
                receiver.recipe.accumulate, " parts; expected accumulate = 1");
}

/// Of the largest logits alone there is forward KL and nothing else.
void check_top(const Lesson& lesson, const Participant& source) {
  if (!source.top.logits.defined() || !wants_logits(lesson)) return;
  LIMBECK_CHECK(!lesson.target && !lesson.confidence && lesson.logits &&
                    soft_weights(*lesson.logits) == lesson.logits->kd_weight,
                "Trainer: the largest logits of \"", source.name,
                "\" are to teach more than forward KL; expected kd_weight alone, or all logits");
}

void check_lesson(const Lesson& lesson, const std::vector<Participant>& participants) {
  const std::size_t N = participants.size();
  LIMBECK_CHECK(lesson.receiver < N, "Trainer: a lesson is for participant ", lesson.receiver,
                "; there are ", N);
  const Participant& receiver = participants[lesson.receiver];
  LIMBECK_CHECK(receiver.trainable(), "Trainer: a lesson is for \"", receiver.name,
                "\", which is frozen; expected a trainable one");
  for (const std::size_t source : lesson.sources)
    LIMBECK_CHECK(source < N, "Trainer: a lesson is from participant ", source, "; there are ", N);
  LIMBECK_CHECK(lesson.target || !wants_logits(lesson) || lesson.sources.size() == 1, "Trainer: \"",
                receiver.name, "\" learns the logits of ", lesson.sources.size(),
                " sources; expected one, or a target made of them");
  for (const std::size_t source : lesson.sources) check_top(lesson, participants[source]);
  LIMBECK_CHECK(!lesson.confidence || receiver.recipe.accumulate == 1, "Trainer: \"", receiver.name,
                "\" balances its own labels over a whole batch, which is computed "
                "in ",
                receiver.recipe.accumulate, " parts; expected accumulate = 1");
  for (const FeatureLesson& feature : lesson.features) {
    check_feature(feature, receiver);
    if (feature.codes.defined()) continue;
    LIMBECK_CHECK(lesson.sources.size() == 1, "Trainer: \"", receiver.name,
                  "\" learns features of ", lesson.sources.size(), " sources; expected one");
    LIMBECK_CHECK(participants[lesson.sources[0]].model, "Trainer: layer \"", feature.source,
                  "\" of \"", participants[lesson.sources[0]].name,
                  "\" is to be read, which has logits alone; expected a model, or codes");
  }
}

}  // namespace

void check_step(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons) {
  check_participants(participants);
  for (const Lesson& lesson : lessons) check_lesson(lesson, participants);
}

void check_run(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons,
               const BatchSource& data) {
  for (const Participant& p : participants)
    if (p.trainable()) check_recipe(p);
  check_step(participants, lessons);
  check_stored(participants, lessons, data);
}

}  // namespace limbeck
