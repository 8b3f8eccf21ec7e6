// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_plan.h>

#include <limbeck/distill/knowledge.h>
#include <limbeck/distill/tap.h>

namespace limbeck {
namespace {

/// Share of a new batch in the statistics of a source that is trained itself: all of it. Averages
/// lag behind features that still grow, whose standardised values then grow too, and two models
/// that imitate each other run away with them.
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

FeatureLesson feature_lesson(const FeatureConfig& config, const LessonPlan& lesson,
                             std::uint64_t seed, const Participant& source, const ArmData& data) {
  const Ends& ends = lesson.ends;
  FeatureLesson feature;
  feature.receiver = ends.to_student ? config.student : config.teacher;
  feature.source = ends.to_student ? config.teacher : config.student;
  feature.weight = config.weight;
  FeatureShapes shapes = {tap_shape(ends.receiver, feature.receiver),
                          tap_shape(ends.source, feature.source), seed, data.device};
  if (config.standardise) {
    feature.statistics = std::make_shared<TapStatistics>(
        calibrate(source, *data.samples(), feature.source, lesson.momentum));
    shapes.mean = feature.statistics->mean;
    shapes.variance = feature.statistics->variance;
  }
  feature.loss = config.make(shapes);
  return feature;
}

std::vector<FeatureLesson> feature_lessons(const DistillConfig& config, const LessonPlan& lesson,
                                           const Participant& source, const ArmData& data) {
  std::vector<FeatureLesson> list;
  for (std::size_t f = 0; f < config.features.size(); ++f) {
    const std::uint64_t seed = data.seed ^ ((lesson.number + 1) << 48) ^ ((f + 1) << 40);
    list.push_back(feature_lesson(config.features[f], lesson, seed, source, data));
  }
  return list;
}

Lesson plan_one(const DistillConfig& config, const LessonPlan& lesson, const Participant& source,
                const ArmData& data) {
  return {.receiver = lesson.receiver,
          .sources = {lesson.source},
          .logits = config.logits,
          .confidence = config.confidence,
          .confidence_weight = config.confidence_weight,
          .features = feature_lessons(config, lesson, source, data),
          .schedule = config.schedule};
}

void scale_weights(Lesson& lesson, double factor) {
  if (lesson.logits) lesson.logits = scale_soft_weights(*lesson.logits, factor);
  for (FeatureLesson& feature : lesson.features) feature.weight *= factor;
}

/// The lesson that one peer gets from another; without the logits where an ensemble teaches these.
Lesson peer_lesson(const DistillConfig& config, const LessonPlan& lesson, const Participant& source,
                   const ArmData& data, bool with_features) {
  DistillConfig own = config;
  // Students have no layer of the teacher's to learn from each other.
  if (!with_features) own.features.clear();
  Lesson made = plan_one(own, lesson, source, data);
  if (config.ensemble || config.gated) made.logits.reset();
  return made;
}

Lesson ensemble_lesson(const DistillConfig& config, std::size_t receiver, std::size_t peers) {
  Lesson lesson = {.receiver = receiver, .logits = config.logits, .schedule = config.schedule};
  for (std::size_t i = 0; i < peers; ++i) lesson.sources.push_back(i);
  lesson.target = [options = *config.ensemble](const std::vector<Tensor>& logits,
                                               const Tensor& labels) {
    return ensemble_target(logits, labels, options);
  };
  return lesson;
}

/// What peer `to` learns: from the ensemble, if there is one, and from every other peer, beginning
/// with the teacher's; the first lesson brings the labels.
std::vector<Lesson> peer_lessons(const DistillConfig& config, const std::vector<ArmModel>& models,
                                 const std::vector<Participant>& participants, std::size_t to,
                                 const ArmData& data) {
  const std::size_t peers = models.size(), last = peers - 1;
  const double direction = to == last ? config.to_teacher : config.to_student;
  std::vector<Lesson> lessons;
  if (config.ensemble) {
    lessons.push_back(ensemble_lesson(config, to, peers));
    scale_weights(lessons.back(), direction);
  }
  for (std::size_t nth = 0; nth < last; ++nth) {
    const std::size_t from = (peers + to - 1 - nth) % peers;
    Lesson lesson = peer_lesson(
        config, {to, from, {models[to], models[from], to != last}, to * peers + from, kMomentum},
        participants[from], data, to == last || from == last);
    scale_weights(lesson, direction / static_cast<double>(last));
    if (nth > 0 && lesson.logits) lesson.logits->ce_weight = 0;
    if (lesson.logits || !lesson.features.empty()) lessons.push_back(std::move(lesson));
  }
  return lessons;
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
  const std::size_t peers = models.size(), last = peers - 1;
  for (std::size_t i = 0; i < peers; ++i)
    plan.participants.push_back(
        learner(i == last ? kTeacherName : detail::concat("student", i + 1), models[i]));
  for (std::size_t to = 0; to < peers; ++to)
    for (Lesson& lesson : peer_lessons(config, models, plan.participants, to, data)) {
      if (to == 0) plan.knowledge_bytes += knowledge_bytes(lesson, data.classes);
      plan.lessons.push_back(std::move(lesson));
    }
  if (config.gated)
    plan.gated =
        GatedLesson{std::make_shared<GatedEnsemble>(static_cast<std::int64_t>(peers) * data.classes,
                                                    static_cast<std::int64_t>(peers), data.seed,
                                                    DType::f32, data.device),
                    {.tau = config.logits.tau,
                     .kd_weight = config.logits.kd_weight,
                     .peer_weight = config.logits.ce_weight}};
  return plan;
}

}  // namespace limbeck
