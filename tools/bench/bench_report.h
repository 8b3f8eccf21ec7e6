// SPDX-License-Identifier: Apache-2.0
// A run of the benchmarks as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include <limbeck/tools/bench/bench.h>

namespace limbeck {

/// Code version, date, machine, settings, ceilings and every result; times in seconds.
nlohmann::json write_bench(const Bench& bench, const BenchSettings& settings);

/// The results in what write_bench wrote; throws std::invalid_argument, naming `file`, for anything
/// else.
std::vector<BenchResult> read_bench_results(const nlohmann::json& report, const std::string& file);

/// Each way in which two reports' machines, settings or builds differ, one line each; times of
/// reports that differ cannot be compared.
std::string machine_differences(const nlohmann::json& old_report, const nlohmann::json& new_report);

}  // namespace limbeck
