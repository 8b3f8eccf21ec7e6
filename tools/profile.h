// SPDX-License-Identifier: Apache-2.0
// Where a training step's time goes, from the ranges that were traced.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <limbeck/core/trace.h>
#include <limbeck/nn/model.h>
#include <limbeck/tools/bench/ceilings.h>

namespace limbeck {

/// All ranges of one kind at one place, per step and less what other rows have inside them: the
/// fetch of the batch, a node's forward pass or backward pass, a loss, an update.
struct ProfileRow {
  std::string name;  ///< "student/fc1", "student/fc1 backward", "student update"
  TraceKind kind = TraceKind::range;
  double seconds = 0;
  double share = 0;  ///< of the step
  double launches = 0;
  Work work = {};          ///< 0: not known
  Roofline roofline = {};  ///< of it; no seconds: not known

  /// The part of the ceiling that was reached, 0 where it is not known.
  double of_ceiling() const { return seconds > 0 ? roofline.seconds / seconds : 0; }
};

struct StepProfile {
  std::int64_t steps = 0;
  double seconds = 0, launches = 0;  ///< of a step
  std::vector<ProfileRow> rows;      ///< in the order they began; the last is the rest of the step
};

/// Sums up the ranges inside steps. What several threads did inside a plain range of a step is
/// divided among its rows so that they take as long as the range did. Shares add up to 1.
StepProfile profile_steps(const std::vector<TraceEvent>& events);

/// What a row's work is at least, by its name.
using Works = std::map<std::string, Work>;

/// Of a participant's nodes, forward and, where it learns, backward, from their shapes
/// (tools/model_table.h): a pass reads its inputs and weights and writes its outputs once, in
/// `dtype`. The backward pass of the input's readers makes no gradient of it. A node that may run
/// with the one after it is there with it too ("student/fc1+relu1"), less what passes between them.
Works works_of(const std::string& participant, const ModelSpec& spec, std::int64_t rows,
               DType dtype, bool learns);

/// Fills in works and rooflines; of layers that are joined the sum of their works.
void add_works(StepProfile& profile, const Works& works, const Ceilings& ceilings);

}  // namespace limbeck
