// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_plan.h>

#include <limbeck/distill/knowledge.h>
#include <limbeck/distill/tap.h>

namespace limbeck {
namespace {

/// Share of a new batch in the statistics of a source that is trained itself: all of it. Averages
/// lag behind features that still grow, whose standardised values then grow too, and two models that
/// imitate each other run away with them.
constexpr double kMomentum = 1;

Participant learner(const std::string& name, const ArmModel& model) {
  return {.name = name, .model = model.model, .recipe = model.recipe, .seed = model.seed};
}

/// One sample's output of a layer.
Shape tap_shape(const ArmModel& model, const std::string& layer) {
  const std::vector<Shape> shapes = model.model->node_shapes(with_batch(model.input, 1));
  for (std::size_t i = 0; i < shapes.size(); ++i)
    if (model.model->name(i) == layer) return without_batch(shapes[i]);
  throw std::invalid_argument(detail::concat("features: there is no layer \"", layer,
                                             "\"; the last is \"",
                                             model.model->name(model.model->size() - 1), "\""));
}

/// Whose layer is called what.
struct Ends {
  const ArmModel &receiver, &source;
  bool to_student;  ///< the receiver has the student's role
};

FeatureLesson feature_lesson(const FeatureConfig& config, const Ends& ends, std::uint64_t seed,
                             Device device) {
  FeatureLesson feature;
  feature.receiver = ends.to_student ? config.student : config.teacher;
  feature.source = ends.to_student ? config.teacher : config.student;
  feature.weight = config.weight;
  feature.loss = config.make({tap_shape(ends.receiver, feature.receiver),
                              tap_shape(ends.source, feature.source), seed, device});
  return feature;
}

std::int64_t knowledge_bytes(const Lesson& lesson, std::int64_t classes) {
  std::int64_t numbers = lesson.logits && soft_weights(*lesson.logits) > 0 ? classes : 0;
  for (const FeatureLesson& feature : lesson.features)
    numbers += feature.loss->code_shape().numel();
  return numbers * static_cast<std::int64_t>(sizeof(float));
}

Lesson virtual_lesson(const DistillConfig& config, std::int64_t classes) {
  Lesson lesson = {.receiver = 0, .logits = config.logits, .schedule = config.schedule};
  lesson.target = [options = *config.virtual_teacher, classes](const std::vector<Tensor>&,
                                                               const Tensor& labels) {
    return virtual_teacher(labels, classes, options);
  };
  return lesson;
}

/// What the source knows of every sample takes its place.
void compute_before(ArmPlan& plan, const ArmData& data) {
  Lesson& lesson = plan.lessons[0];
  Participant& source = plan.participants[1];
  const std::unique_ptr<BatchSource> samples = data.samples();
  for (FeatureLesson& feature : lesson.features)
    feature.codes = encode_all(source, *samples, feature);
  source.logits = data.source_logits();
  source.model = nullptr;
}

/// What a lesson is planned with: who learns from whom, and the lesson's number, which names the
/// random streams of its features.
struct LessonPlan {
  std::size_t receiver, source;
  Ends ends;
  std::uint64_t number;
  double momentum;  ///< of the statistics of the source's layers
};

std::vector<FeatureLesson> feature_lessons(const DistillConfig& config, const LessonPlan& lesson,
                                           const Participant& source, const ArmData& data) {
  std::vector<FeatureLesson> list;
  for (std::size_t f = 0; f < config.features.size(); ++f) {
    const std::uint64_t seed = data.seed ^ ((lesson.number + 1) << 48) ^ ((f + 1) << 40);
    FeatureLesson feature = feature_lesson(config.features[f], lesson.ends, seed, data.device);
    if (config.features[f].standardise)
      feature.statistics = std::make_shared<TapStatistics>(
          calibrate(source, *data.samples(), feature.source, lesson.momentum));
    list.push_back(std::move(feature));
  }
  return list;
}

Lesson plan_one(const DistillConfig& config, const LessonPlan& lesson, const Participant& source,
                const ArmData& data) {
  return {.receiver = lesson.receiver,
          .sources = {lesson.source},
          .logits = config.logits,
          .features = feature_lessons(config, lesson, source, data),
          .schedule = config.schedule};
}

/// A lesson between peers is one of `others` that the receiver gets; the first brings the labels.
void share(Lesson& lesson, double factor, bool first) {
  lesson.logits = scale_soft_weights(*lesson.logits, factor);
  if (!first) lesson.logits->ce_weight = 0;
  for (FeatureLesson& feature : lesson.features) feature.weight *= factor;
}

}  // namespace

ArmPlan plan_lesson(const DistillConfig& config, const ArmModel& receiver, const ArmModel& source,
                    const ArmData& data) {
  ArmPlan plan;
  plan.participants = {learner("", receiver)};
  if (config.virtual_teacher) {
    plan.lessons = {virtual_lesson(config, data.classes)};
    return plan;
  }
  plan.participants.push_back(
      {.name = config.source, .model = source.model, .state = config.source_state});
  const bool to_student = config.mode == Mode::forward;
  plan.lessons = {
      plan_one(config, {0, 1, {receiver, source, to_student}, 0, 0}, plan.participants[1], data)};
  plan.knowledge_bytes = knowledge_bytes(plan.lessons[0], data.classes);
  if (data.fixed && config.source_state == ModelState::frozen_eval) compute_before(plan, data);
  return plan;
}

ArmPlan plan_mutual(const DistillConfig& config, const std::vector<ArmModel>& models,
                    const ArmData& data) {
  ArmPlan plan;
  const std::size_t last = models.size() - 1;
  for (std::size_t i = 0; i <= last; ++i)
    plan.participants.push_back(
        learner(i == last ? "teacher" : detail::concat("student", i), models[i]));
  // Students have no layer of the teacher's to learn from each other.
  DistillConfig among_students = config;
  among_students.features.clear();
  for (std::size_t to = 0; to <= last; ++to) {
    const double weight =
        (to == last ? config.to_teacher : config.to_student) / static_cast<double>(last);
    for (std::size_t nth = 0; nth < last; ++nth) {
      const std::size_t from = (last + 1 + to - 1 - nth) % (last + 1);  // the teacher first
      const bool with_teacher = to == last || from == last;
      Lesson lesson = plan_one(
          with_teacher ? config : among_students,
          {to, from, {models[to], models[from], to != last}, plan.lessons.size(), kMomentum},
          plan.participants[from], data);
      if (to == 0 && nth == 0) plan.knowledge_bytes = knowledge_bytes(lesson, data.classes);
      share(lesson, weight, nth == 0);
      plan.lessons.push_back(std::move(lesson));
    }
  }
  return plan;
}

}  // namespace limbeck
