// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/profile_command.h>

#include <fstream>

#include <limbeck/distill/scope_names.h>
#include <limbeck/tools/arm_knowledge.h>
#include <limbeck/tools/bench/bench_table.h>
#include <limbeck/tools/profile_table.h>
#include <limbeck/tools/run_arguments.h>
#include <limbeck/tools/trace_json.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// Every participant's nodes; a part of a batch at a time, but a whole batch in all.
Works all_works(const Arm& arm, const ArmSetup& setup, const RunPlace& place) {
  Works works;
  const std::vector<std::string> names = learner_names(arm);
  for (std::size_t i = 0; i < setup.plan.participants.size(); ++i) {
    const Participant& participant = setup.plan.participants[i];
    if (!participant.model) continue;
    const std::string& name = i < names.size() ? names[i] : arm.distill->source;
    const auto parameters = participant.model->parameters();
    works.merge(works_of(scope_name(participant),
                         place.with_input(learner_model(place.experiment, name)), arm.recipe.batch,
                         parameters.empty() ? DType::f32 : parameters[0].value.value().dtype(),
                         participant.trainable()));
  }
  return works;
}

/// Sources that have no part in the steps.
std::string said_before(const ArmPlan& plan) {
  std::string text;
  for (const Participant& p : plan.participants)
    if (!p.model)
      text += "what " + scope_name(p) + " knows of the samples was computed before the steps\n";
  return text;
}

void write_file(const std::string& path, const json& content) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << content << std::endl;
  if (!file) throw IoError(path + ": cannot be written");
}

}  // namespace

void profile_command(const ProfileArguments& arguments, std::ostream& out) {
  const RunArguments& run = arguments.run;
  LIMBECK_CHECK(arguments.steps >= 1, "--steps: is ", arguments.steps, "; expected >= 1");
  const Experiment experiment = parse_config(read_config(run), run.file);
  const Arm& arm =
      arguments.arm.empty() ? main_arm(experiment) : find_arm(experiment, arguments.arm);
  for (const std::string& path : {arguments.json, arguments.trace})
    write_file(path, json());  // or a mistyped path would show at the end only
  const Device device = use_machine(
      {run.device.value_or("auto"), run.threads.value_or(0), run.math.value_or("exact")});
  const RunData data = load_run_data(experiment.data);
  check_against_data(experiment, data);
  const Ceilings ceilings = arguments.no_ceilings ? Ceilings{} : measure_ceilings(device);
  out << describe_run(device, ceilings) << std::flush;

  const RunPlace place(experiment, data, nullptr, device);
  SeedModels known(place, experiment.seeds[0]);
  const ArmSetup setup = set_up_arm(arm, place, experiment.seeds[0], known);
  Profiled profiled = {arm.name, device, arm.recipe.batch, arguments.steps};
  profiled.whole = run_steps(setup, place, arguments.steps);
  const std::vector<TraceEvent> events = trace_steps(setup, place, arguments.steps);
  profiled.traced = profile_steps(events);
  add_works(profiled.traced, all_works(arm, setup, place), ceilings);

  out << profile_table(profiled) << said_before(setup.plan);
  json report = write_profile(profiled);
  report["limbeck"] = version();
  report["commit"] = commit();
  report["machine"] = describe_machine(device);
  write_file(arguments.json, report);
  write_file(arguments.trace, write_trace(events));
}

}  // namespace limbeck
