// SPDX-License-Identifier: Apache-2.0
// limbeck_bench: runs benchmarks by name, prints a table and writes it as JSON.
#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>

#include <limbeck/tools/bench/bench_list.h>
#include <limbeck/tools/machine.h>
#include <limbeck/tools/version.h>

namespace limbeck {
namespace {

nlohmann::json to_json(const BenchResult& result) {
  return {{"name", result.name},       {"shape", result.shape},     {"median_s", result.median},
          {"min_s", result.min},       {"samples", result.samples}, {"bytes", result.work.bytes},
          {"flops", result.work.flops}};
}

nlohmann::json to_json(const Bench& bench) {
  nlohmann::json results = nlohmann::json::array();
  for (const BenchResult& result : bench.results()) results.push_back(to_json(result));
  return {{"version", version()},
          {"commit", commit()},
          {"machine", describe_machine(bench.device())},
          {"bytes_per_second", bench.ceilings().bytes_per_second},
          {"flops_per_second", bench.ceilings().flops_per_second},
          {"results", results}};
}

struct Options {
  std::vector<std::string> names;
  MachineOptions machine;
  double seconds = 0.5;
  bool no_ceilings = false;
  std::string json;
};

void run(const Options& options) {
  const Device device = use_machine(options.machine);
  const Ceilings ceilings = options.no_ceilings ? Ceilings{} : measure_ceilings(device);
  Bench bench(device, ceilings, options.seconds, std::cout);
  const std::vector<std::string>& names = options.names;
  for (const BenchEntry& entry : bench_list())
    if (names.empty() || std::find(names.begin(), names.end(), entry.name) != names.end())
      entry.run(bench);
  if (options.json.empty()) return;
  std::ofstream file(options.json);
  file << to_json(bench).dump(2) << std::endl;
  if (!file) throw IoError(options.json + ": cannot be written");
}

/// The program's exit status.
int run(int argc, char** argv) {
  CLI::App app("Times limbeck's kernels against what this machine can do.");
  Options options;
  std::vector<std::string> known;
  for (const auto& entry : bench_list()) known.emplace_back(entry.name);
  app.add_option("names", options.names, "benchmarks to run; all by default")
      ->check(CLI::IsMember(known));
  app.add_option("--device", options.machine.device, "auto, cpu or cuda:<i>");
  app.add_option("--threads", options.machine.threads, "CPU threads");
  app.add_option("--math", options.machine.math, "exact or fast");
  app.add_option("--seconds", options.seconds, "time spent on each line");
  app.add_flag("--no-ceilings", options.no_ceilings, "do not measure the machine's limits");
  app.add_option("--json", options.json, "file to write the results to");
  CLI11_PARSE(app, argc, argv);
  run(options);
  return 0;
}

}  // namespace
}  // namespace limbeck

int main(int argc, char** argv) {
  try {
    return limbeck::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "limbeck_bench: " << error.what() << '\n';
    return 1;
  }
}
