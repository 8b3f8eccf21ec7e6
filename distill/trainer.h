// SPDX-License-Identifier: Apache-2.0
// Trains a model on labels, or a student on its teacher.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <limbeck/distill/checkpoint.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/distill/image_source.h>
#include <limbeck/kernels/kd_loss.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/nn/schedule.h>

namespace limbeck {

/// Training was given up: the loss or a weight is no longer a finite number.
struct TrainingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How one model is trained.
struct Recipe {
  std::int64_t epochs = 0;
  std::int64_t batch = 0;
  std::int64_t accumulate = 1;  ///< a batch is computed in this many parts; the bits stay the same
  Augment augment;              ///< of images; it is their source that varies them
  /// Of parameters and activations; bf16 and f16 have master weights in f32. Whoever builds the
  /// model reads this; losses are computed in f32.
  DType precision = DType::f32;
  std::variant<SgdConfig, AdamwConfig> optimizer;
  double ema_decay = 0;  ///< > 0: the run ends in the average of its weights (nn/ema.h)
  Schedule schedule;     ///< total_steps = 0 stands for the whole run
};

/// Where soft targets come from: `logits` (N,V) computed before for every sample of the source
/// (only where it does not augment), or else `model`, run in evaluation mode on what the student
/// sees and in the dtype of its own parameters.
struct Teacher {
  Module* model = nullptr;
  Tensor logits = {};
};

struct TrainerOptions {
  Recipe recipe;
  std::uint64_t seed = 0;
  std::vector<std::int32_t> samples = {};  ///< to train on; empty: all of the source
  std::optional<KdLossOptions> distill;    ///< none: cross-entropy on the labels
  std::int64_t report_every = 100;         ///< steps between looks at the loss
  std::string checkpoint;                  ///< file; empty: none is written
  std::int64_t checkpoint_every = 0;       ///< steps; 0: never
};

struct Progress {
  std::int64_t step = 0;  ///< done
  std::int64_t total_steps = 0;
  std::int64_t epoch = 0;  ///< of the last step, from 0
  double loss = 0;         ///< mean over the batches since the last report
  double lr = 0;           ///< of the last step
};

/// One training run. In MathMode::exact on the CPU the weights it ends in are a function of model,
/// data and options alone: not of threads, instruction set, `accumulate`, or interruptions.
class Trainer {
 public:
  /// Everything given must outlive the trainer. Throws std::invalid_argument for options out of
  /// range and for a teacher without `distill` or the reverse.
  Trainer(Module& student, BatchSource& data, const Teacher& teacher,
          const TrainerOptions& options);

  std::int64_t step() const { return state_.step; }
  std::int64_t total_steps() const { return state_.total_steps; }

  /// Goes on from the checkpoint file if there is one (distill/checkpoint.h says what it refuses);
  /// returns whether there was.
  bool resume();
  /// Trains to the end. `report` is called every report_every steps, before each checkpoint and at
  /// the end. Throws TrainingError when the loss or, before a checkpoint, a weight is not finite;
  /// the last checkpoint stays.
  void run(const std::function<void(const Progress&)>& report = {});

 private:
  void train_step();
  Tensor train_part(const Batch& part, std::int64_t first_row);
  Variable loss_of(const Variable& logits, const Batch& part);
  Tensor teacher_logits(const Batch& part);
  Batch next_batch();
  Progress progress();
  void checkpoint();
  void give_up(const std::string& what) const;

  Module& student_;
  BatchSource& data_;
  Teacher teacher_;
  TrainerOptions options_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Ema> ema_;
  TrainState state_;
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t epoch_ = -1;  ///< that data_ was told the order of
  Tensor loss_sum_;          ///< of the steps since the last report; stays NaN or inf
  std::int64_t loss_steps_ = 0;
  std::int64_t last_checkpoint_ = -1;
};

}  // namespace limbeck
