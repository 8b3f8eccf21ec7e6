// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench_command.h>

#include <algorithm>
#include <fstream>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench_list.h>
#include <limbeck/tools/bench/bench_report.h>
#include <limbeck/tools/bench/bench_table.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::vector<BenchEntry> chosen(const std::vector<std::string>& stems) {
  std::vector<BenchEntry> entries;
  std::string known;
  for (const BenchEntry& entry : bench_list()) {
    if (stems.empty() || std::find(stems.begin(), stems.end(), entry.name) != stems.end())
      entries.push_back(entry);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  for (const std::string& stem : stems) {
    const bool is_known = std::any_of(entries.begin(), entries.end(),
                                      [&](const BenchEntry& e) { return e.name == stem; });
    LIMBECK_CHECK(is_known, "bench: there is no benchmark '", stem, "'; expected one of ", known);
  }
  return entries;
}

/// Those of the benchmarks that are run; a result is named <stem> or <stem>/<what>.
std::vector<BenchResult> results_of(const std::vector<BenchEntry>& entries,
                                    std::vector<BenchResult> results) {
  std::erase_if(results, [&](const BenchResult& r) {
    return std::none_of(entries.begin(), entries.end(), [&](const BenchEntry& e) {
      return r.name.substr(0, r.name.find('/')) == e.name;
    });
  });
  return results;
}

void write_json(const json& report, const std::string& path) {
  std::ofstream file(path);
  file << report.dump(2) << std::endl;
  if (!file) throw IoError(path + ": cannot be written");
}

}  // namespace

void bench_command(const BenchArguments& arguments, std::ostream& out) {
  const std::vector<BenchEntry> entries = chosen(arguments.stems);
  if (arguments.list) {
    for (const BenchEntry& entry : entries) out << entry.name << "\n";
    return;
  }
  json baseline;
  std::vector<BenchResult> old_results;
  if (!arguments.vs.empty()) {
    baseline = read_json_file(arguments.vs);
    old_results = results_of(entries, read_bench_results(baseline, arguments.vs));
  }
  const Device device = use_machine(arguments.machine);
  const Ceilings ceilings = arguments.no_ceilings ? Ceilings{} : measure_ceilings(device);
  Bench bench(device, ceilings, arguments.settings, out);
  const auto save = [&] {
    if (!arguments.json.empty()) write_json(write_bench(bench, arguments.settings), arguments.json);
  };
  save();  // or a mistyped path would show at the end only
  for (const BenchEntry& entry : entries) {
    entry.run(bench);
    save();
  }
  if (!arguments.vs.empty())
    out << "\n"
        << machine_differences(baseline, write_bench(bench, arguments.settings))
        << compare_table(old_results, bench.results());
  if (bench.refused() > 0)
    throw std::runtime_error(
        detail::concat("bench: skipped ", bench.refused(), " lines whose inputs are all zeros"));
}

}  // namespace limbeck
