// SPDX-License-Identifier: Apache-2.0
// Every benchmark by name; the list follows LIMBECK_OPS in CMakeLists.txt.
#pragma once

#include <span>
#include <string_view>

#include <limbeck/tools/bench/bench.h>

namespace limbeck {

struct BenchEntry {
  std::string_view name;  ///< of an op, or kd_step
  void (*run)(Bench&);
};

std::span<const BenchEntry> bench_list();

}  // namespace limbeck
