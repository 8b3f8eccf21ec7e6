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
#include <limbeck/kernels/kd_loss.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/nn/schedule.h>

namespace limbeck {

/// Training was given up: the loss or a weight is no longer a finite number.
struct TrainingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Images (N,H,W,C) u8 or f32 and labels (N) i32 on the device that trains.
struct TrainSet {
  Tensor images;
  Tensor labels;
  std::vector<std::int32_t> samples = {};  ///< the rows to train on; empty: all
};

/// How one model is trained.
struct Recipe {
  std::int64_t epochs = 0;
  std::int64_t batch = 0;
  std::int64_t accumulate = 1;  ///< a batch is computed in this many parts; the bits stay the same
  int max_jitter = 0;           ///< images move by up to this many pixels (kernels/gather.h)
  std::variant<SgdConfig, AdamwConfig> optimizer;
  Schedule schedule;  ///< total_steps = 0 stands for the whole run
};

/// Where soft targets come from: `logits` (N,V) computed before for every row of the train set
/// (only without jitter), or else `model`, run in evaluation mode on what the student sees and in
/// the dtype of its own parameters.
struct Teacher {
  Module* model = nullptr;
  Tensor logits = {};
};

struct TrainerOptions {
  Recipe recipe;
  Preprocess input;
  std::uint64_t seed = 0;
  std::optional<KdLossOptions> distill;  ///< none: cross-entropy on the labels
  std::int64_t report_every = 100;       ///< steps between looks at the loss
  std::string checkpoint;                ///< file; empty: none is written
  std::int64_t checkpoint_every = 0;     ///< steps; 0: never
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
  Trainer(Module& student, const TrainSet& data, const Teacher& teacher,
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
  Tensor train_part(const Tensor& index, std::int64_t first_row, double batch_rows);
  Variable loss_of(const Variable& logits, const Tensor& x, const Tensor& index, double batch_rows);
  Tensor teacher_logits(const Tensor& x, const Tensor& index);
  Tensor batch_index();
  Progress progress();
  void checkpoint();
  void give_up(const std::string& what) const;

  Module& student_;
  const TrainSet& data_;
  Teacher teacher_;
  TrainerOptions options_;
  std::vector<std::int32_t> samples_;
  std::unique_ptr<Optimizer> optimizer_;
  TrainState state_;
  std::int64_t steps_per_epoch_ = 0;
  std::int64_t order_epoch_ = -1;  ///< the epoch order_ belongs to
  Tensor order_;                   ///< (samples) i32, on the device
  Tensor loss_sum_;                ///< of the steps since the last report; stays NaN or inf
  std::int64_t loss_steps_ = 0;
  std::int64_t last_checkpoint_ = -1;
};

}  // namespace limbeck
