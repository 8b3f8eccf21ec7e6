// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_plan.h>

#include <limbeck/distill/knowledge.h>
#include <limbeck/distill/tap.h>
#include <limbeck/tools/knowledge_cache.h>

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
  if (const auto known = model.taps.find(layer); known != model.taps.end()) return known->second;
  LIMBECK_CHECK(model.model, "features: the cache has no codes of layer \"", layer, "\"");
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

/// In f32, as a cache stores them (tools/knowledge_cache.h).
std::int64_t knowledge_bytes(const Lesson& lesson, std::int64_t classes, std::int64_t top_k = 0) {
  const std::int64_t number = sizeof(float), index = classes > 256 ? 4 : 1;
  std::int64_t bytes = 0;
  if (wants_logits(lesson))
    bytes += top_k > 0 ? top_k * (number + index) + number : classes * number;
  for (const FeatureLesson& feature : lesson.features)
    bytes += feature.loss->code_shape().numel() * number;
  return bytes;
}

std::int64_t knowledge_bytes(const Lesson& lesson, const KnowledgeCache& cache) {
  std::int64_t bytes = wants_logits(lesson) ? logit_bytes(cache) : 0;
  for (std::size_t f = 0; f < lesson.features.size(); ++f) bytes += code_bytes(cache, f);
  return bytes;
}

Lesson virtual_lesson(const DistillConfig& config, std::int64_t classes) {
  Lesson lesson = {.receiver = 0, .logits = config.logits, .schedule = config.schedule};
  lesson.target = [options = *config.virtual_teacher, classes](const std::vector<Tensor>&,
                                                               const Tensor& labels) {
    return virtual_teacher(labels, classes, options);
  };
  return lesson;
}

/// What the source knows of every sample.
Knowledge compute_before(const DistillConfig& config, const ArmPlan& plan, const ArmData& data) {
  const Lesson& lesson = plan.lessons[0];
  const Participant& source = plan.participants[1];
  const std::unique_ptr<BatchSource> samples = data.samples();
  Knowledge known;
  for (const FeatureLesson& feature : lesson.features)
    known.codes.push_back(encode_all(source, *samples, feature));
  if (!wants_logits(lesson)) return known;
  if (config.top_k > 0)
    known.top = top_of_all(source, *samples, config.top_k, config.logits.tau);
  else
    known.logits = data.source_logits();
  return known;
}

/// It takes the source's place; of codes alone there is no source left.
void put_in_place(ArmPlan& plan, const Knowledge& known, Device device) {
  const auto there = [&](const Tensor& t) { return t.defined() ? t.to(device) : t; };
  Lesson& lesson = plan.lessons[0];
  for (std::size_t f = 0; f < lesson.features.size(); ++f)
    lesson.features[f].codes = there(known.codes.at(f));
  Participant& source = plan.participants[1];
  source.model = nullptr;
  source.logits = there(known.logits);
  source.top = {there(known.top.indices), there(known.top.logits), there(known.top.rest_lse)};
  if (wants_logits(lesson)) return;
  lesson.sources.clear();
  plan.participants.pop_back();
}

/// What a lesson is planned with: who learns from whom, and the lesson's number, which names the
/// random streams of its features.
struct LessonPlan {
  std::size_t receiver, source;
  Ends ends;
  std::uint64_t number;
  double momentum;  ///< of the statistics of the source's layers
};

/// What the source's channels are standardised by: the cache's own, or of the data.
std::shared_ptr<TapStatistics> statistics_of(const DistillConfig& config, std::size_t f,
                                             const LessonPlan& lesson, const Participant& source,
                                             const ArmData& data) {
  if (!config.features[f].standardise) return nullptr;
  if (config.cache) {
    const TapStatistics& stored = config.cache->knowledge.statistics.at(f);
    return std::make_shared<TapStatistics>(
        TapStatistics{stored.mean.to(data.device), stored.variance.to(data.device)});
  }
  const std::string& layer =
      lesson.ends.to_student ? config.features[f].teacher : config.features[f].student;
  return std::make_shared<TapStatistics>(
      calibrate(source, *data.samples(), layer, lesson.momentum));
}

FeatureLesson feature_lesson(const DistillConfig& distill, std::size_t f, const LessonPlan& lesson,
                             const Participant& source, const ArmData& data) {
  const Ends& ends = lesson.ends;
  const FeatureConfig& config = distill.features[f];
  FeatureLesson feature;
  feature.receiver = ends.to_student ? config.student : config.teacher;
  feature.source = ends.to_student ? config.teacher : config.student;
  feature.weight = config.weight;
  feature.statistics = statistics_of(distill, f, lesson, source, data);
  FeatureShapes shapes = {tap_shape(ends.receiver, feature.receiver),
                          tap_shape(ends.source, feature.source),
                          feature_seed(data.seed, lesson.number, f), data.device};
  if (feature.statistics) {
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
    list.push_back(feature_lesson(config, f, lesson, source, data));
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

/// The shapes that a cache's codes were made of, where there is one.
ArmModel with_taps(ArmModel source, const DistillConfig& config) {
  if (config.cache)
    for (const CodeOrigin& code : config.cache->origin.codes) source.taps[code.layer] = code.tap;
  return source;
}

}  // namespace

std::uint64_t feature_seed(std::uint64_t seed, std::uint64_t lesson, std::size_t feature) {
  return seed ^ ((lesson + 1) << 48) ^ ((feature + std::uint64_t{1}) << 40);
}

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
  const ArmModel from = with_taps(source, config);
  plan.lessons = {
      plan_one(config, {0, 1, {receiver, from, to_student}, 0, 0}, plan.participants[1], data)};
  const bool before = data.fixed && config.source_state == ModelState::frozen_eval;
  LIMBECK_CHECK(before || config.cache || config.top_k == 0, "distill.top_k: is ", config.top_k,
                " for samples that look different at every step; expected images that nothing ",
                "varies, and source_state frozen_eval");
  plan.knowledge_bytes = config.cache
                             ? knowledge_bytes(plan.lessons[0], *config.cache)
                             : knowledge_bytes(plan.lessons[0], data.classes, config.top_k);
  if (config.cache)
    put_in_place(plan, config.cache->knowledge, data.device);
  else if (before)
    put_in_place(plan, compute_before(config, plan, data), data.device);
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
