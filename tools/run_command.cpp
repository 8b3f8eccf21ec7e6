// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run_command.h>

#include <algorithm>
#include <ctime>

#include <limbeck/core/error.h>
#include <limbeck/tools/arm_knowledge.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/run.h>
#include <limbeck/tools/run_arguments.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// Date and time in UTC, ISO 8601.
std::string now() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&t));
  return text;
}

struct Work {
  std::string command;
  json config;
  Experiment experiment;
  std::string teacher_cache = {};  ///< a file that takes the teacher's place; empty: none
};

json new_record(const Work& work, Device device) {
  return {{"limbeck", version()},
          {"commit", commit()},
          {"command", work.command},
          {"config", work.config},
          {"seeds", work.config.at("seeds")},
          {"machine", describe_machine(device)},
          {"started", now()},
          {"status", "running"}};
}

/// A resumed run must be the one that was begun.
void check_same_run(const json& old, const json& fresh, const std::string& path) {
  const json config = json::diff(old.at("config"), fresh.at("config"));
  LIMBECK_CHECK(config.empty(), path, ": was begun with another run file; ",
                config[0].at("path").get<std::string>(), " differs");
  for (const char* key : {"device", "math"})
    LIMBECK_CHECK(old.at("machine").at(key) == fresh.at("machine").at(key), path,
                  ": was begun with ", key, " ", old.at("machine").at(key).dump(), ", not ",
                  fresh.at("machine").at(key).dump());
  const json was = old.value("teacher_cache", json()), is = fresh.value("teacher_cache", json());
  const auto digest = [](const json& cache) { return cache.is_null() ? "none" : cache["digest"]; };
  LIMBECK_CHECK(digest(was) == digest(is), path, ": was begun with teacher cache ",
                digest(was).dump(), ", not ", digest(is).dump());
}

/// Does the work in `folder` and returns the finished record.
json execute(const Work& work, const RunFolder& folder, bool resume, Device device,
             const Console& console) {
  json record = new_record(work, device);
  std::optional<KnowledgeCache> cache;
  if (!work.teacher_cache.empty()) {
    cache = read_knowledge(work.teacher_cache);
    record["teacher_cache"] = {{"file", work.teacher_cache}, {"digest", cache->digest}};
  }
  Experiment experiment = work.experiment;
  if (resume) check_same_run(folder.read_run(), record, folder.path().string());
  const RunData data = load_run_data(experiment.data);
  if (cache) learn_from_cache(experiment, *cache, work.teacher_cache, data);
  check_against_data(experiment, data);
  record["data"] = {
      {"name", data.name()}, {"train", data.train_digest()}, {"test", data.test_digest()}};
  folder.write_run(record);
  ProgressLine progress(console.out, console.terminal);
  const std::vector<Result> results = run_experiment(experiment, data, folder, device, progress);
  record["results"] = json::array();
  for (const Result& result : results) record["results"].push_back(write_result(result));
  record["status"] = "finished";
  record["finished"] = now();
  folder.write_run(record);
  console.out << "\n"
              << format_report(experiment, results) << "\nrun folder: " << folder.path().string()
              << "\n";
  return record;
}

void run_file(const std::string& command, const RunArguments& arguments, const Console& console) {
  const Device device =
      use_machine({arguments.device.value_or("auto"), arguments.threads.value_or(0),
                   arguments.math.value_or("exact")});
  const json config = read_config(arguments);
  const Experiment experiment = parse_config(config, arguments.file);
  const bool distills = std::any_of(experiment.arms.begin(), experiment.arms.end(),
                                    [](const Arm& arm) { return arm.distill.has_value(); });
  LIMBECK_CHECK(command != "train" || !experiment.teacher, arguments.file,
                ": teacher: there is one; run it with limbeck distill");
  LIMBECK_CHECK(command != "distill" || distills, arguments.file,
                ": arms: none has \"distill\"; run it with limbeck train");
  LIMBECK_CHECK(!arguments.resume || !arguments.out.empty(),
                "--resume: needs --out, the folder of the run to go on with");
  const RunFolder folder(arguments.out.empty() ? free_run_folder(experiment.name) : arguments.out,
                         arguments.resume);
  execute({command, config, experiment, arguments.teacher_cache}, folder, arguments.resume, device,
          console);
}

bool compare_line(const std::string& what, const json& old, const json& fresh,
                  const Console& console) {
  const bool same = old == fresh;
  console.out << what << "  " << fresh.get<std::string>()
              << (same ? "  same" : "  DIFFERS from " + old.get<std::string>()) << "\n";
  return same;
}

}  // namespace

void train_command(const RunArguments& arguments, const Console& console) {
  run_file("train", arguments, console);
}

void distill_command(const RunArguments& arguments, const Console& console) {
  run_file("distill", arguments, console);
}

bool reproduce_command(const RunArguments& arguments, const Console& console) {
  const json old = read_json_file(arguments.file);
  LIMBECK_CHECK(old.is_object() && old.value("status", "") == "finished", arguments.file,
                ": is not the run.json of a finished run");
  const json& machine = old.at("machine");
  const Device device = use_machine({arguments.device.value_or(machine.at("device")),
                                     arguments.threads.value_or(machine.at("threads").get<int>()),
                                     arguments.math.value_or(machine.at("math"))});
  json config = old.at("config");
  if (!arguments.data.empty()) config["data"]["source"] = arguments.data;
  Work work = {old.at("command"), config, parse_config(config, arguments.file)};
  if (old.contains("teacher_cache")) work.teacher_cache = old["teacher_cache"].at("file");
  const RunFolder folder(
      arguments.out.empty() ? free_run_folder(work.experiment.name + "-reproduced") : arguments.out,
      false);
  const json fresh = execute(work, folder, false, device, console);
  bool same = true;
  if (!work.teacher_cache.empty())
    same &= compare_line("teacher cache", old["teacher_cache"].at("digest"),
                         fresh["teacher_cache"].at("digest"), console);
  for (const char* part : {"train", "test"})
    same &= compare_line(std::string("data ") + part, old.at("data").at(part),
                         fresh.at("data").at(part), console);
  for (std::size_t i = 0; i < fresh.at("results").size(); ++i) {
    const json& was = old.at("results").at(i);
    same &= compare_line(
        detail::concat("seed ", was.at("seed").dump(), " ", was.at("model").get<std::string>()),
        was.at("digest"), fresh.at("results").at(i).at("digest"), console);
  }
  return same;
}

}  // namespace limbeck
