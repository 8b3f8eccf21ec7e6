// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/distill_json.h>

#include <limbeck/tools/feature_json.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

Mode read_mode(const JsonObject& distill) {
  const std::string mode = distill.choice("mode", {"forward", "reverse", "mutual"});
  return mode == "forward" ? Mode::forward : mode == "reverse" ? Mode::reverse : Mode::mutual;
}

KdLossOptions read_logits(const JsonObject& distill) {
  KdLossOptions loss;
  loss.kd_weight = distill.at_least_zero("kd_weight");
  loss.ce_weight = distill.at_least_zero("ce_weight");
  loss.reverse_kl_weight = distill.at_least_zero("reverse_kl_weight", 0);
  loss.jsd_weight = distill.at_least_zero("jsd_weight", 0);
  if (loss.jsd_weight > 0) {
    loss.jsd_beta = distill.number("jsd_beta");
    LIMBECK_CHECK(loss.jsd_beta > 0 && loss.jsd_beta < 1, distill.path("jsd_beta"), ": is ",
                  loss.jsd_beta, "; expected between 0 and 1");
  }
  loss.tvd_weight = distill.at_least_zero("tvd_weight", 0);
  loss.tckd_weight = distill.at_least_zero("tckd_weight", 0);
  loss.nckd_weight = distill.at_least_zero("nckd_weight", 0);
  const bool soft = soft_weights(loss) > 0;
  loss.tau = soft ? distill.number("tau") : distill.number("tau", 1);
  LIMBECK_CHECK(loss.tau > 0, distill.path("tau"), ": is ", loss.tau, "; expected > 0");
  return loss;
}

LessonSchedule read_lesson_schedule(const JsonObject& distill) {
  LessonSchedule schedule;
  if (!distill.has("schedule")) return schedule;
  const JsonObject object(distill.at("schedule"), distill.path("schedule"),
                          {"begin", "ramp", "fall", "end"});
  schedule = {object.number("begin", 0), object.number("ramp", 0), object.number("fall", 1),
              object.number("end", 1)};
  try {
    lesson_factor(schedule, 0, 1);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(distill.path("schedule") + ": " + e.what());
  }
  return schedule;
}

VirtualTeacherOptions read_virtual_teacher(const JsonObject& distill) {
  const JsonObject object(distill.at("virtual_teacher"), distill.path("virtual_teacher"),
                          {"form", "right", "tau"});
  VirtualTeacherOptions options;
  if (object.choice("form", {"paper", "released"}, "paper") == "released")
    options.form = VirtualTeacherForm::released;
  options.right = object.number("right", options.right);
  options.tau = object.number("tau", options.tau);
  return options;
}

ConfidenceOptions read_confidence(const JsonObject& distill, double& weight) {
  const JsonObject object(distill.at("confidence"), distill.path("confidence"),
                          {"weight", "alpha", "ramp", "threshold"});
  ConfidenceOptions options;
  weight = object.at_least_zero("weight");
  options.alpha = object.at_least_zero("alpha", options.alpha);
  options.ramp = object.at_least_zero("ramp", options.ramp);
  options.threshold = object.at_least_zero("threshold", options.threshold);
  try {
    confidence_alpha(options, 0, 1);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(distill.path("confidence") + ": " + e.what());
  }
  return options;
}

/// Keys that only some modes know.
void check_mode_keys(const JsonObject& distill, Mode mode) {
  const auto only = [&](const char* key, bool known, const char* where) {
    LIMBECK_CHECK(known || !distill.has(key), distill.path(key), ": is of mode ", where,
                  " alone; expected none");
  };
  const bool mutual = mode == Mode::mutual;
  for (const char* key : {"order", "target", "to_student", "to_teacher", "students"})
    only(key, mutual, "mutual");
  for (const char* key : {"source", "source_state", "top_k", "confidence"})
    only(key, !mutual, "forward and reverse");
  only("grow", mode == Mode::reverse, "reverse");
  only("virtual_teacher", mode == Mode::forward, "forward");
}

void read_source(DistillConfig& config, const JsonObject& distill) {
  if (distill.has("virtual_teacher")) {
    config.virtual_teacher = read_virtual_teacher(distill);
    LIMBECK_CHECK(!distill.has("source") && config.features.empty(),
                  distill.path("virtual_teacher"),
                  ": has no layers and needs no source; expected neither source nor features");
    LIMBECK_CHECK(!distill.has("top_k"), distill.path("top_k"),
                  ": is of a source's logits, and a virtual teacher has none; expected no top_k");
    return;
  }
  if (config.mode == Mode::forward)
    config.source = distill.text("source", "teacher");
  else
    config.source = distill.text("source");
  const std::string state =
      distill.choice("source_state", {"frozen_eval", "frozen_batch_statistics"}, "frozen_eval");
  if (state == "frozen_batch_statistics") config.source_state = ModelState::frozen_batch_statistics;
  config.grow = distill.flag("grow", false);
  config.top_k = distill.has("top_k") ? distill.integer("top_k", 1) : 0;
  LIMBECK_CHECK(config.top_k == 0 || learns_forward_kl_alone(config), distill.path("top_k"),
                ": is ", config.top_k,
                " and teaches forward KL alone; expected kd_weight and no other ",
                "weight of the source's logits");
}

EnsembleKind ensemble_kind(const std::string& name) {
  if (name == "mean_logits") return EnsembleKind::mean_logits;
  if (name == "mean_probabilities") return EnsembleKind::mean_probabilities;
  if (name == "naive") return EnsembleKind::naive;
  return name == "linear" ? EnsembleKind::linear : EnsembleKind::min_logit;
}

void read_mutual(DistillConfig& config, const JsonObject& distill) {
  if (distill.choice("order", {"simultaneous", "alternate"}, "simultaneous") == "alternate")
    config.order = UpdateOrder::alternate;
  const std::string target = distill.choice(
      "target",
      {"each", "mean_logits", "mean_probabilities", "naive", "linear", "min_logit", "gate"},
      "each");
  config.gated = target == "gate";
  if (!config.gated && target != "each")
    config.ensemble = EnsembleOptions{ensemble_kind(target), config.logits.tau, {}};
  LIMBECK_CHECK(!config.gated || config.order == UpdateOrder::simultaneous, distill.path("order"),
                ": is alternate; a gate is trained with all models at once, expected simultaneous");
  config.to_student = distill.at_least_zero("to_student", 1);
  config.to_teacher = distill.at_least_zero("to_teacher", 1);
  config.students = static_cast<std::size_t>(distill.integer("students", 1, 1));
  LIMBECK_CHECK(config.logits.ce_weight > 0, distill.path("ce_weight"),
                ": is 0; expected > 0, because models that only imitate each other agree on "
                "nothing in particular");
}

}  // namespace

bool learns_logits(const DistillConfig& config) {
  return soft_weights(config.logits) + config.confidence_weight > 0;
}

bool learns_forward_kl_alone(const DistillConfig& config) {
  const double kd = config.logits.kd_weight;
  return kd > 0 && soft_weights(config.logits) == kd && !config.confidence;
}

DistillConfig read_distill(const json& value, const std::string& path) {
  const JsonObject distill(value, path,
                           {"mode",
                            "tau",
                            "kd_weight",
                            "ce_weight",
                            "reverse_kl_weight",
                            "jsd_weight",
                            "jsd_beta",
                            "tvd_weight",
                            "tckd_weight",
                            "nckd_weight",
                            "features",
                            "confidence",
                            "schedule",
                            "source",
                            "source_state",
                            "virtual_teacher",
                            "grow",
                            "top_k",
                            "order",
                            "target",
                            "to_student",
                            "to_teacher",
                            "students"});
  DistillConfig config;
  config.mode = read_mode(distill);
  check_mode_keys(distill, config.mode);
  config.logits = read_logits(distill);
  for (const auto& [feature, at] : distill.elements("features"))
    config.features.push_back(read_feature(feature, at));
  if (distill.has("confidence"))
    config.confidence = read_confidence(distill, config.confidence_weight);
  double weights = config.confidence_weight + soft_weights(config.logits) + config.logits.ce_weight;
  for (const FeatureConfig& feature : config.features) weights += feature.weight;
  LIMBECK_CHECK(weights > 0, path, ": every weight is 0; expected one above 0");
  config.schedule = read_lesson_schedule(distill);
  if (config.mode == Mode::mutual)
    read_mutual(config, distill);
  else
    read_source(config, distill);
  return config;
}

}  // namespace limbeck
