// SPDX-License-Identifier: Apache-2.0
// What a training run must remember to go on as if it had never stopped.
#pragma once

#include <cstdint>
#include <string>

#include <limbeck/nn/ema.h>
#include <limbeck/nn/module.h>
#include <limbeck/nn/optimizer.h>

namespace limbeck {

/// Where a run is, and which run it is. All randomness is a function of seed and step, so there is
/// no generator to save.
struct TrainState {
  std::int64_t step = 0;  ///< optimiser steps done
  std::int64_t total_steps = 0;
  std::uint64_t seed = 0;
};

/// Writes weights ("model.<name>"), optimiser state ("optimizer.<name>"), averages, where there are
/// any ("ema.<name>"), and `state` as safetensors, atomically: a failure (IoError) leaves the old
/// file as it was.
void save_checkpoint(const std::string& path, Module& model, const Optimizer& optimizer,
                     const TrainState& state, const Ema* ema = nullptr);

/// Puts a checkpoint back. Throws IoError when the file is unreadable or not a checkpoint, and
/// std::invalid_argument when it belongs to another model, optimiser, seed or length of run
/// (`expected` names the latter two), or has averages where none are asked for or the reverse.
TrainState load_checkpoint(const std::string& path, Module& model, Optimizer& optimizer,
                           const TrainState& expected, Ema* ema = nullptr);

}  // namespace limbeck
