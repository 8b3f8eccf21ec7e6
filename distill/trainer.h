// SPDX-License-Identifier: Apache-2.0
// Trains models on labels and on each other.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <limbeck/core/arena.h>
#include <limbeck/distill/checkpoint.h>
#include <limbeck/distill/distill_step.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/distill/step_graph.h>

namespace limbeck {

/// Training was given up: the loss or a weight is no longer a finite number.
struct TrainingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct RunOptions {
  std::uint64_t seed = 0;                  ///< of the order of the samples
  std::vector<std::int32_t> samples = {};  ///< to train on; empty: all of the source
  UpdateOrder order = UpdateOrder::simultaneous;
  std::optional<GatedLesson> gated = {};  ///< simultaneous only, without loss scaling
  std::int64_t report_every = 100;        ///< steps between looks at the loss
  std::string checkpoint = {};            ///< file; empty: none is written
  std::int64_t checkpoint_every = 0;      ///< steps; 0: never
  bool arena = true;  ///< on the CPU: steps have their tensors in an arena; changes no result
  /// On a GPU a step is recorded once as a graph and then launched (distill/step_graph.h): the same
  /// bits, with less for the host to do.
  bool capture = true;
};

/// Where soft targets come from: `logits` (N,V) computed before for every sample of the source
/// (only where it does not augment), or else `model`, run in evaluation mode on what the student
/// sees and in the dtype of its own parameters.
struct Teacher {
  Module* model = nullptr;
  Tensor logits = {};
};

/// A run of one student; options.seed is its dropout's too.
struct TrainerOptions : RunOptions {
  Recipe recipe;
  std::optional<KdLossOptions> distill;  ///< none: cross-entropy on the labels
};

struct Progress {
  std::int64_t step = 0;  ///< done
  std::int64_t total_steps = 0;
  std::int64_t epoch = 0;  ///< of the last step, from 0
  double loss = 0;  ///< of all learners together, mean over the batches since the last report
  double lr = 0;    ///< of the last step, the first learner's
  std::vector<float> losses = {};  ///< of each of these batches
};

/// One training run. In MathMode::exact on the CPU the weights it ends in are a function of models,
/// data and options alone: not of threads, instruction set, interruptions or, where every loss is
/// per sample, `accumulate`.
class Trainer {
 public:
  /// Those participants that are trainable learn: from the lessons they receive, added up in their
  /// order, or, without any, from the labels alone. The recipes' epochs, batch and accumulate must
  /// be the same. What is pointed at must outlive the trainer. Throws std::invalid_argument for
  /// options out of range.
  Trainer(std::vector<Participant> participants, std::vector<Lesson> lessons, BatchSource& data,
          RunOptions options);
  /// A student that learns from labels or a teacher.
  Trainer(Module& student, BatchSource& data, const Teacher& teacher,
          const TrainerOptions& options);

  std::int64_t step() const { return state_.step; }
  std::int64_t total_steps() const { return state_.total_steps; }
  /// Of the memory that the tensors of its steps are in; all 0 where they are in none.
  ArenaStats memory() const { return arena_.stats(); }
  /// Of the steps done here, those that were launches of a captured graph.
  std::int64_t launched_steps() const { return graph_->launches(); }

  /// Goes on from the checkpoint file if there is one (distill/checkpoint.h says what it refuses);
  /// returns whether there was.
  bool resume();
  /// Trains to the end. `report` is called every report_every steps, before each checkpoint and at
  /// the end. Throws TrainingError when the loss or, before a checkpoint, a weight is not finite;
  /// the last checkpoint stays.
  void run(const std::function<void(const Progress&)>& report = {});

 private:
  void prepare();
  void make_graph();
  StepWork step_work();
  void train_step();
  void begin_epoch();
  RunClock clock() const { return {state_.step, state_.total_steps}; }
  std::int64_t rows_of_batch() const;  ///< of the next one; the last of an epoch may have fewer
  Progress progress();
  CheckpointParts checkpoint_parts();
  void checkpoint();
  void give_up(const std::string& what) const;

  std::vector<Participant> participants_;
  std::vector<Lesson> lessons_;
  BatchSource& data_;
  RunOptions options_;
  TrainState state_;
  std::int64_t batch_ = 0;
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t epoch_ = -1;      ///< that data_ was told the order of
  Tensor loss_;                  ///< of the step
  Tensor losses_;                ///< of the steps since the last report, and before
  std::int64_t loss_steps_ = 0;  ///< since the last report
  std::int64_t last_checkpoint_ = -1;
  Arena arena_;
  std::unique_ptr<DistillStep> step_;
  std::unique_ptr<StepGraph> graph_;
};

}  // namespace limbeck
