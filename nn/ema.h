// SPDX-License-Identifier: Apache-2.0
// The moving average of a model's weights.
#pragma once

#include <vector>

#include <limbeck/kernels/ema.h>
#include <limbeck/nn/optimizer.h>

namespace limbeck {

/// Keeps averages of all parameters in f32 (f64), starting at what they are now. Buffers, such as
/// running means, are averages already and are not averaged again.
class Ema {
 public:
  /// 0 <= decay < 1. The average is of the last 1 / (1 - decay) steps or so; of a young run's, as
  /// the decay of step t = 0, 1.. is at most (1 + t) / (10 + t).
  Ema(std::vector<NamedParameter> parameters, double decay);

  /// After each optimiser step: update(decay(steps())), counted.
  void update();
  std::int64_t steps() const { return steps_; }
  /// Of update `step` = 0, 1..
  double decay(std::int64_t step) const;
  /// The update by such a number, as Optimizer::update: not counted.
  void update(const StepNumber& decay);
  void count_step() { ++steps_; }
  /// Exchanges the parameters with their averages, rounded to their dtype: before an evaluation,
  /// and again after it. In between update() throws std::logic_error.
  void swap();
  bool swapped() const { return !set_aside_.empty(); }

  /// "step" (i64) and "<name>.average", which share memory with the averages; and back, as
  /// Optimizer's.
  NamedTensors state() const;
  void load_state(const NamedTensors& state);

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<EmaPair> pairs_;
  std::vector<Tensor> set_aside_;  ///< the parameters' own values while the averages stand there
  double decay_;
  std::int64_t steps_ = 0;
};

}  // namespace limbeck
