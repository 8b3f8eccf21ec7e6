// SPDX-License-Identifier: Apache-2.0
// What a training run must remember to go on as if it had never stopped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <limbeck/distill/learner.h>

namespace limbeck {

/// Where a run is, and which run it is. All randomness is a function of seed and step, so there is
/// no generator to save.
struct TrainState {
  std::int64_t step = 0;  ///< optimiser steps done
  std::int64_t total_steps = 0;
  std::uint64_t seed = 0;
};

/// What changes in a run: the learners, and tensors of its own by name.
struct CheckpointParts {
  std::vector<Learner*> learners;
  NamedTensors tensors;
};

/// Writes each learner's weights ("<name>.model.<weight>"), optimiser state ("<name>.optimizer."),
/// averages ("<name>.ema."), adapters and their optimiser's state ("<name>.adapter.",
/// "<name>.adapter_optimizer."), of a learner without a name without "<name>."; the run's own
/// tensors ("run."); and `state`, as safetensors, atomically: a failure (IoError) leaves the old
/// file as it was.
void save_checkpoint(const std::string& path, const CheckpointParts& parts,
                     const TrainState& state);

/// Puts a checkpoint back. Throws IoError when the file is unreadable or not a checkpoint, and
/// std::invalid_argument when it belongs to another model, optimiser, seed or length of run
/// (`expected` names the latter two), or has averages where none are asked for or the reverse.
TrainState load_checkpoint(const std::string& path, CheckpointParts& parts,
                           const TrainState& expected);

}  // namespace limbeck
