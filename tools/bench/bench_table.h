// SPDX-License-Identifier: Apache-2.0
// What limbeck bench prints.
#pragma once

#include <limbeck/tools/bench/bench.h>

namespace limbeck {

/// A warning about this build where one is due, the device, and the ceilings.
std::string describe_run(Device device, const Ceilings& ceilings);

std::string table_header();
/// Name and shape, padded to their columns.
std::string table_names(const std::string& name, const std::string& shape);
std::string table_line(const BenchResult& result);

/// Of every result here and in the baseline: old time, new time, old over new (above 1 is faster).
std::string compare_table(const std::vector<BenchResult>& old_results,
                          const std::vector<BenchResult>& new_results);

}  // namespace limbeck
