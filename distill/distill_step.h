// SPDX-License-Identifier: Apache-2.0
// One step of models that learn from labels and from each other: the whole of it, for a loop and
// data of your own. distill/trainer.h is such a loop.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <limbeck/core/arena.h>
#include <limbeck/distill/gated_ensemble.h>
#include <limbeck/distill/joint_forward.h>
#include <limbeck/distill/learner.h>

namespace limbeck {

/// simultaneous: all learn from what the others were before the step, so their order does not
/// matter and each is run once. alternate: one after the other, each from what those before it have
/// become (Zhang et al. 2018, algorithm 1); all are run again for each.
enum class UpdateOrder { simultaneous, alternate };

/// All learners together train a gate whose ensemble teaches each of them (ONE,
/// distill/gated_ensemble.h); it brings the labels too.
struct GatedLesson {
  std::shared_ptr<GatedEnsemble> gate;
  GatedEnsembleOptions options = {};
};

struct StepOptions {
  UpdateOrder order = UpdateOrder::simultaneous;
  std::optional<GatedLesson> gated = {};  ///< simultaneous only, without loss scaling
  /// Nobody changes frozen models between steps, as one would a teacher that is the average of its
  /// student: on the CPU their weights are packed once, which small batches gain by.
  bool pack_frozen = false;
};

/// Forward pass of all models as one plan (distill/joint_forward.h), losses, backward pass,
/// clipping and update. In MathMode::exact on the CPU its bits are a function of models, data and
/// options alone: not of threads, instruction set or, where every loss is per sample, `accumulate`.
class DistillStep {
 public:
  /// Those participants that are trainable learn: from the lessons they receive, added up in their
  /// order, or, without any, from the labels alone. Of a recipe `epochs` and `batch` are not read
  /// here; `accumulate` is the first learner's. Schedules run over `total_steps`. What is pointed
  /// at must outlive it. Throws std::invalid_argument for participants and lessons that make no
  /// step.
  DistillStep(std::vector<Participant> participants, std::vector<Lesson> lessons,
              std::int64_t total_steps, StepOptions options = {});

  /// Step number `step`, from 0, on a batch that lies where the models do. Returns its loss (1), of
  /// all learners together, where it was computed: reading it waits for the device.
  Tensor operator()(const Batch& batch, std::int64_t step);

  /// By the number of the participant; null: it does not learn.
  const std::vector<std::unique_ptr<Learner>>& learners() const { return learners_; }
  /// The participants that do.
  const std::vector<std::size_t>& order() const { return order_; }

  /// What a step reads that changes from one to the next, wherever it runs: its number first, then
  /// each learner's; `ahead` steps after the last one that was counted.
  std::vector<double> numbers(std::int64_t step, std::int64_t ahead = 0) const;
  /// All that it reads on the host besides: where this is the same, so is what it queues.
  std::vector<double> key(const RunClock& clock) const;
  /// The step, its loss added to `loss` (1); count() tells the host that it was done.
  void run(const Batch& batch, const RunClock& clock, std::span<const StepNumber> numbers,
           Tensor& loss);
  void count();

 private:
  /// A step under way.
  struct Now {
    RunClock clock;
    std::span<const StepNumber> numbers;
    Tensor& loss;
    std::vector<std::size_t> learners;
  };
  void make_learners();
  void learn(const Batch& batch, const Now& now);
  void backward_each(const std::vector<View>& views, const Batch& part, double samples,
                     const Now& now);
  void backward_together(const std::vector<View>& views, const Batch& part, double samples,
                         const Now& now);
  Variable loss_of(std::size_t learner, const std::vector<View>& views, const Batch& part,
                   double samples, const RunClock& clock) const;
  std::span<const StepNumber> numbers_of(std::size_t learner, const Now& now) const;

  std::vector<Participant> participants_;
  std::vector<Lesson> lessons_;
  std::int64_t total_steps_;
  StepOptions options_;
  std::vector<std::size_t> order_;
  std::unique_ptr<JointForward> forward_;
  std::vector<std::unique_ptr<Learner>> learners_;
  Arena arena_;  ///< of the tensors of operator()'s steps on the CPU
};

}  // namespace limbeck
