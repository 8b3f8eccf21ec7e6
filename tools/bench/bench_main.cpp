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

void run(const std::vector<std::string>& names, const MachineOptions& machine,
         const std::string& json) {
  Bench bench(use_machine(machine), std::cout);
  for (const BenchEntry& entry : bench_list())
    if (names.empty() || std::find(names.begin(), names.end(), entry.name) != names.end())
      entry.run(bench);
  if (json.empty()) return;
  std::ofstream file(json);
  file << to_json(bench).dump(2) << std::endl;
  if (!file) throw IoError(json + ": cannot be written");
}

}  // namespace
}  // namespace limbeck

int main(int argc, char** argv) {
  CLI::App app("Times limbeck's kernels against what this machine can do.");
  std::vector<std::string> names, known;
  for (const auto& entry : limbeck::bench_list()) known.emplace_back(entry.name);
  limbeck::MachineOptions machine;
  std::string json;
  app.add_option("names", names, "benchmarks to run; all by default")->check(CLI::IsMember(known));
  app.add_option("--device", machine.device, "auto, cpu or cuda:<i>");
  app.add_option("--threads", machine.threads, "CPU threads");
  app.add_option("--math", machine.math, "exact or fast");
  app.add_option("--json", json, "file to write the results to");
  CLI11_PARSE(app, argc, argv);
  try {
    limbeck::run(names, machine, json);
  } catch (const std::exception& error) {
    std::cerr << "limbeck_bench: " << error.what() << '\n';
    return 1;
  }
}
