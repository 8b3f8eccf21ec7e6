// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/encode.h>

#include <cstdio>
#include <filesystem>

#include <limbeck/core/error.h>
#include <limbeck/tools/arm_knowledge.h>
#include <limbeck/tools/arm_plan.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/run_arguments.h>

namespace limbeck {
namespace {

void check_encodable(const Experiment& experiment, const Arm& arm) {
  check_storable(arm);
  const std::string augment = describe_augment(arm.recipe.augment);
  LIMBECK_CHECK(augment == "none", "arm \"", arm.name, "\": recipe.augment: is \"", augment,
                "\"; expected none, as a cache has one view of each sample");
  LIMBECK_CHECK(arm.distill->features.empty() || experiment.seeds.size() == 1, "seeds: has ",
                experiment.seeds.size(), ", and the matrices of arm \"", arm.name,
                "\" are of one; expected --seed");
}

/// What the arm says, with the command line's number of logits.
Arm chosen_arm(const Experiment& experiment, const EncodeArguments& arguments) {
  Arm arm = find_arm(experiment, arguments.arm);
  LIMBECK_CHECK(arguments.top_k >= 0, "--top-k: is ", arguments.top_k, "; expected >= 1");
  if (!arm.distill || arguments.top_k == 0) return arm;
  LIMBECK_CHECK(learns_forward_kl_alone(*arm.distill), "--top-k: is ", arguments.top_k,
                " and teaches forward KL alone; arm \"", arm.name, "\" has kd_weight ",
                arm.distill->logits.kd_weight, " of soft weights ",
                soft_weights(arm.distill->logits),
                arm.distill->confidence ? " and confidence" : "");
  arm.distill->top_k = arguments.top_k;
  return arm;
}

std::unique_ptr<BatchSource> samples_of(const Experiment& experiment, const RunData& data,
                                        Device device) {
  if (data.text) return data.text->train.source(device);
  return data.images.train.on(device).source(device, experiment.data.input);
}

/// The very plan that training would begin with, so that both have the same bits.
Knowledge compute(const Experiment& experiment, const Arm& arm, const RunData& data,
                  SourceModel& source, Device device) {
  ModelSpec spec = arm.model;
  spec.input = data.input();
  const auto receiver = build_model(spec, experiment.seeds[0], DType::f32, device);
  const auto samples = samples_of(experiment, data, device);
  const ArmModel from = {source.model.get(), data.input()};
  ArmData given = {.seed = experiment.seeds[0], .device = device, .classes = data.output()[-1]};
  given.fixed = true;
  given.samples = [&] { return samples_of(experiment, data, device); };
  given.source_logits = [&] {
    return logits_of_all({.model = source.model.get(), .state = ModelState::frozen_eval}, *samples);
  };
  const ArmPlan plan = plan_lesson(*arm.distill, {receiver.get(), data.input()}, from, given);
  Knowledge known;
  for (const FeatureLesson& feature : plan.lessons[0].features) {
    known.codes.push_back(feature.codes);
    known.statistics.push_back(feature.statistics ? *feature.statistics : TapStatistics{});
  }
  if (plan.participants.size() < 2) return known;
  known.logits = plan.participants[1].logits;
  known.top = plan.participants[1].top;
  return known;
}

std::string ratio(std::int64_t raw, std::int64_t stored) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1fx", static_cast<double>(raw) / static_cast<double>(stored));
  return text;
}

/// Bytes of a sample in the file and as the source gives it, in f32.
void report(const KnowledgeCache& cache, const Shape& output, const std::string& path,
            std::ostream& out) {
  const KnowledgeOrigin& origin = cache.origin;
  std::vector<std::vector<std::string>> rows = {{"", "bytes/sample", "raw", "ratio"}};
  std::int64_t raw_sum = 0, stored_sum = 0;
  const auto add = [&](const std::string& what, std::int64_t stored, std::int64_t raw) {
    rows.push_back({what, std::to_string(stored), std::to_string(raw), ratio(raw, stored)});
    stored_sum += stored;
    raw_sum += raw;
  };
  for (std::size_t i = 0; i < origin.codes.size(); ++i)
    add(detail::concat("codes of \"", origin.codes[i].layer, "\": ", origin.codes[i].technique),
        code_bytes(cache, i), origin.codes[i].tap.numel() * 4);
  const std::string which = origin.logits == "top"
                                ? detail::concat(origin.top_k, " of ", output[-1], " logits")
                                : "logits";
  if (origin.logits != "none") add(which, logit_bytes(cache), output.numel() * 4);
  if (rows.size() > 2)
    rows.push_back(
        {"all", std::to_string(stored_sum), std::to_string(raw_sum), ratio(raw_sum, stored_sum)});
  out << "knowledge of \"" << origin.source << "\" (" << origin.source_digest << ") for arm \""
      << origin.arm << "\", " << origin.samples << " samples, " << cache.dtype << "\n"
      << format_table(rows) << path << ": " << std::filesystem::file_size(path) << " bytes\n";
}

}  // namespace

void encode_command(const EncodeArguments& arguments, std::ostream& out) {
  const RunArguments& run = arguments.run;
  const Device device = use_machine(
      {run.device.value_or("auto"), run.threads.value_or(0), run.math.value_or("exact")});
  KnowledgeCache cache;
  cache.dtype = arguments.dtype;
  LIMBECK_CHECK(cache.dtype == "f32" || cache.dtype == "bf16" || cache.dtype == "f16",
                "--dtype: is \"", cache.dtype, "\"; expected f32, bf16 or f16");
  Experiment experiment = parse_config(read_config(run), run.file);
  const Arm arm = chosen_arm(experiment, arguments);
  check_encodable(experiment, arm);
  for (Arm& other : experiment.arms)
    if (other.name == arm.name) other = arm;
  const RunData data = load_run_data(experiment.data);
  check_against_data(experiment, data);
  SourceModel source = load_source(experiment, arm, data, arguments.weights, device);
  if (!source.unmatched.empty()) out << arguments.weights << ": " << source.unmatched << "\n";
  cache.origin = origin_of(experiment, arm, data, tap_shapes(*source.model, data.input()),
                           experiment.seeds[0]);
  cache.origin.source_digest = source.digest;
  cache.knowledge = compute(experiment, arm, data, source, device);
  write_knowledge(run.out, cache);
  report(cache, data.output(), run.out, out);
}

}  // namespace limbeck
