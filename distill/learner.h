// SPDX-License-Identifier: Apache-2.0
// A participant that is trained: its optimiser, its adapters' and the average of its weights.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <limbeck/distill/participant.h>
#include <limbeck/nn/ema.h>

namespace limbeck {

/// Adapters of feature lessons are f32 whatever the model is, learn by the model's recipe without
/// its parameter groups and without weight decay of biases and scales, and have no part in its
/// average. Clipping is of the model's gradients and of the adapters' apart.
class Learner {
 public:
  /// `total_steps` is the whole run's. Throws std::invalid_argument for a bad recipe and for
  /// adapters where the loss is scaled.
  Learner(const Participant& participant, std::vector<NamedParameter> adapters,
          std::int64_t total_steps);

  const Participant& participant() const { return participant_; }
  Optimizer& optimizer() { return *optimizer_; }
  Ema* ema() { return ema_ ? &*ema_ : nullptr; }
  /// Null without adapters.
  Optimizer* adapter_optimizer() { return adapter_optimizer_.get(); }
  const std::vector<NamedParameter>& adapters() const { return adapters_; }

  double lr(std::int64_t step) const { return learning_rate(schedule_, step); }
  void zero_grad();
  /// Backward of a loss (1) and, after all parts of a batch, the update by the numbers of a step,
  /// which is counted apart, since a captured graph updates without being told.
  void backward(const Variable& loss) const;
  void update(std::span<const StepNumber> numbers);
  void count_update();
  /// Both, with the numbers of step `step`.
  void step(std::int64_t step);
  /// What the update of step `step` is to be given, `ahead` updates after those counted so far.
  std::vector<double> numbers(std::int64_t step, std::int64_t ahead) const;
  /// Leaves the average in the place of the weights, once.
  void end();

 private:
  Participant participant_;
  std::vector<NamedParameter> adapters_;
  Schedule schedule_;
  std::unique_ptr<Optimizer> optimizer_, adapter_optimizer_;
  std::optional<Ema> ema_;
};

}  // namespace limbeck
