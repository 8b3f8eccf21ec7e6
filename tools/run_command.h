// SPDX-License-Identifier: Apache-2.0
// limbeck train, distill and reproduce.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <limbeck/tools/machine.h>

namespace limbeck {

/// Where a command writes.
struct Console {
  std::ostream& out;
  bool terminal = false;  ///< out is one, so a progress line may be written over
};

struct RunArguments {
  std::string file;                   ///< run file; for reproduce a run.json
  std::vector<std::string> set;       ///< path.key=value
  std::string data;                   ///< replaces data.source
  std::string out;                    ///< run folder; empty: a free one under runs/
  std::string teacher_cache;          ///< distill: knowledge to learn from; empty: none
  std::optional<std::uint64_t> seed;  ///< replaces seeds
  bool resume = false;
  std::optional<std::string> device, math;  ///< not given: auto and exact, or as recorded
  std::optional<int> threads;
};

/// Both run the experiment of a run file (tools/experiment.h), print its table and leave a run
/// folder. train takes a file without a teacher, distill one with a teacher and at least one arm
/// that uses it; with a teacher cache (tools/knowledge_cache.h) the one arm that it was made for,
/// and no teacher. Throw on anything wrong.
void train_command(const RunArguments& arguments, const Console& console);
void distill_command(const RunArguments& arguments, const Console& console);

/// Repeats the run that left `file` and compares the digests of data and final weights. Returns
/// whether all are the same.
bool reproduce_command(const RunArguments& arguments, const Console& console);

}  // namespace limbeck
