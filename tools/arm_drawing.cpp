// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_drawing.h>

#include <algorithm>
#include <memory>

#include <limbeck/distill/joint_plan.h>
#include <limbeck/distill/scope_names.h>
#include <limbeck/distill/tap.h>
#include <limbeck/tools/report.h>

namespace limbeck {
namespace {

/// The models of an arm and what passes between them, as a run has them, but for their losses.
struct Stage {
  std::vector<std::unique_ptr<ModelGraph>> models;
  std::vector<ModelSpec> specs;
  std::vector<Participant> participants;
  std::vector<Lesson> lessons;
  std::int64_t rows = 0;  ///< of a batch, or a part of one, that runs at once

  void add(const std::string& name, ModelSpec spec, const Shape& input, DType dtype, bool learns) {
    if (spec.input.rank() == 0) spec.input = input;
    models.push_back(build_model(spec, 0, dtype));
    specs.push_back(std::move(spec));
    participants.push_back({.name = name,
                            .model = models.back().get(),
                            .state = learns ? ModelState::trainable : ModelState::frozen_eval});
  }
  /// `to` learns from `from`, and looks at the features by the student's or the teacher's role.
  void add_lesson(const DistillConfig& config, std::size_t to, std::size_t from, bool to_student) {
    Lesson lesson = {.receiver = to, .sources = {from}};
    for (const FeatureConfig& f : config.features)
      lesson.features.push_back({.receiver = to_student ? f.student : f.teacher,
                                 .source = to_student ? f.teacher : f.student,
                                 .loss = nullptr});
    lessons.push_back(std::move(lesson));
  }
};

/// Whether what the source knows is computed before the first step.
bool is_asked_before(const Experiment& experiment, const Arm& arm) {
  return !experiment.data.text && !arm.recipe.augment.any() &&
         arm.distill->source_state == ModelState::frozen_eval;
}

DType source_dtype(const Experiment& experiment, const std::string& source) {
  return source == kTeacherName ? experiment.teacher->dtype : DType::f32;
}

Stage set_stage(const Experiment& experiment, const Arm& arm, const Shape& input) {
  const DistillConfig& config = *arm.distill;
  Stage stage;
  stage.rows = (arm.recipe.batch + arm.recipe.accumulate - 1) / arm.recipe.accumulate;
  if (arm.partner) {
    const std::size_t teacher = config.students;
    for (std::size_t i = 0; i < teacher; ++i)
      stage.add(detail::concat("student", i + 1), arm.model, input, arm.recipe.precision, true);
    stage.add(kTeacherName, arm.partner->model, input, arm.partner->recipe->precision, true);
    for (std::size_t i = 0; i < teacher; ++i) {
      stage.add_lesson(config, i, teacher, true);
      stage.add_lesson(config, teacher, i, false);
    }
    return stage;
  }
  stage.add("student", arm.model, input, arm.recipe.precision, true);
  if (config.source.empty()) return stage;
  stage.add(config.source, learner_model(experiment, config.source), input,
            source_dtype(experiment, config.source), false);
  stage.add_lesson(config, 0, 1, config.mode != Mode::reverse);
  if (!is_asked_before(experiment, arm)) return stage;
  stage.participants[1].model = nullptr;
  for (FeatureLesson& feature : stage.lessons[0].features)  // codes are there
    feature.codes = Tensor::zeros({1});
  return stage;
}

/// What the op of nodes first to `last` reads.
std::string inputs_of(const ModelGraph& graph, std::size_t first, std::size_t last) {
  std::string text;
  for (std::size_t node = first; node <= last; ++node)
    for (const std::size_t from : graph.inputs(node))
      if (node == first || from != node - 1)
        text += (text.empty() ? "" : ", ") +
                (from == ModelGraph::kModelInput ? ModelGraph::kInput : graph.name(from));
  return text;
}

bool has(const std::vector<std::size_t>& nodes, std::size_t node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

/// Whether a node is computed again in backward, so that its value goes as without a tape.
bool is_recomputed(const ModelSpec& spec, std::size_t node) {
  return std::any_of(spec.recompute.begin(), spec.recompute.end(), [&](const auto& range) {
    return range.first <= node && node + 1 < range.second;
  });
}

/// Draws one model of the stage.
class Drawing {
 public:
  Drawing(const Stage& stage, const JointPlan& plan, std::size_t number)
      : stage_(stage),
        plan_(plan),
        number_(number),
        model_(plan.models[number]),
        graph_(*model_.graph) {}

  std::string table() const {
    const ModelSpec& spec = stage_.specs[number_];
    const std::vector<Shape> shapes = graph_.node_shapes(with_batch(spec.input, 1));
    std::vector<std::vector<std::string>> rows = {{stage_.participants[number_].name, "layer",
                                                   "reads", "output", "tapped", "joined with",
                                                   "freed after"}};
    for (std::size_t i = 0; i < graph_.size(); ++i) {
      const std::size_t first = i, end = op_end(i);
      std::string layer = graph_.describe(first);
      for (std::size_t part = first + 1; part <= end; ++part)
        layer += " + " + graph_.describe(part);
      rows.push_back({op_name(graph_, first, end), layer, inputs_of(graph_, first, end),
                      without_batch(shapes[end]).str(), tapped(end), joined(first),
                      freed_after(end)});
      i = end;
    }
    return format_table(rows);
  }

 private:
  std::size_t op_end(std::size_t node) const {
    const std::size_t end = graph_.op_end(node, model_.taps);
    return end == ModelGraph::kModelInput ? node : end;
  }

  std::string tapped(std::size_t node) const {
    if (has(model_.kept, node)) return "for the loss";
    return has(model_.taps, node) ? "for its code" : "";
  }

  /// The other layers of the product that a node is part of.
  std::string joined(std::size_t node) const {
    std::string text;
    for (const JoinedLayers& group : plan_.joined) {
      const bool part = std::any_of(
          group.layers.begin(), group.layers.end(),
          [&](const JoinedLayer& l) { return l.participant == number_ && l.node == node; });
      if (!part) continue;
      for (const auto& [participant, other] : group.layers)
        if (participant != number_)
          text += (text.empty() ? "" : ", ") + stage_.participants[participant].name + "/" +
                  plan_.models[participant].graph->name(other);
      const Shape batch = with_batch(stage_.specs[number_].input, stage_.rows);
      if (joined_bytes(plan_, group.layers, batch) > kMaxJoinedBytes) text += " on a GPU";
    }
    return text;
  }

  /// Without a tape after the last that reads it; what a tape holds after its backward.
  std::string freed_after(std::size_t node) const {
    const bool taped = stage_.participants[number_].trainable();
    if (taped && !is_recomputed(stage_.specs[number_], node)) return "its backward";
    for (std::size_t i = node + 1; i < graph_.size(); ++i)
      if (has(graph_.last_read(i), node)) return graph_.name(i);
    return "the loss";
  }

  const Stage& stage_;
  const JointPlan& plan_;
  std::size_t number_;
  const PlannedModel& model_;
  ModelGraph& graph_;
};

/// What passes from model to model.
std::string lessons_of(const DistillConfig& config, const Stage& stage) {
  std::string taught;
  const auto also = [&](const std::string& what) { taught += (taught.empty() ? "" : ", ") + what; };
  if (learns_logits(config)) also(detail::concat("logits (tau ", config.logits.tau, ")"));
  for (const FeatureConfig& f : config.features)
    also(f.technique + " (student's " + f.student + ", teacher's " + f.teacher + ")");
  const std::vector<Participant>& all = stage.participants;
  if (all.size() == 1) return all[0].name + " learns from a virtual teacher: " + taught + "\n";
  if (all.back().trainable()) return "all learn from each other: " + taught + "\n";
  return all[0].name + " learns from " + all[1].name + ": " + taught + "\n";
}

}  // namespace

std::string draw_arm(const Experiment& experiment, const Arm& arm, const Shape& input) {
  LIMBECK_CHECK(arm.distill, "arm \"", arm.name, "\" learns from no model; expected one that does");
  const Stage stage = set_stage(experiment, arm, input);
  const JointPlan plan = make_joint_plan(stage.participants, stage.lessons);
  std::string text = "a step of " + arm.name + ": " + lessons_of(*arm.distill, stage);
  for (std::size_t i = 0; i < plan.models.size(); ++i)
    text += "\n" + (plan.models[i].graph
                        ? Drawing(stage, plan, i).table()
                        : stage.participants[i].name +
                              " runs before the first step, as samples always look the same\n");
  return text;
}

}  // namespace limbeck
