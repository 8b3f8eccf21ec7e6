// SPDX-License-Identifier: Apache-2.0
// limbeck bench.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <limbeck/tools/bench/bench.h>
#include <limbeck/tools/machine.h>

namespace limbeck {

struct BenchArguments {
  std::vector<std::string> stems;  ///< of bench_list(); empty: all
  std::string vs;                  ///< JSON of an earlier run, to compare with
  std::string json;                ///< file to write this run to
  bool list = false;               ///< only name the benchmarks
  bool no_ceilings = false;
  BenchSettings settings;
  MachineOptions machine;
};

/// Measures this machine's ceilings, then runs the benchmarks named. Throws std::invalid_argument
/// for a name there is none of, before anything is measured, and std::runtime_error at the end when
/// a call was refused.
void bench_command(const BenchArguments& arguments, std::ostream& out);

}  // namespace limbeck
