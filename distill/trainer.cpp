// SPDX-License-Identifier: Apache-2.0
// The training loop: no host read between two reports.
#include <limbeck/distill/trainer.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <limbeck/autograd/cast.h>
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/distill/shuffle.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/gather.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

std::unique_ptr<Optimizer> make_optimizer(Module& model, const Recipe& recipe) {
  if (const auto* sgd = std::get_if<SgdConfig>(&recipe.optimizer))
    return std::make_unique<Sgd>(model.parameters(), *sgd);
  return std::make_unique<Adamw>(model.parameters(), std::get<AdamwConfig>(recipe.optimizer));
}

void check(const BatchSource& data, const Teacher& teacher, const TrainerOptions& options) {
  const Recipe& recipe = options.recipe;
  LIMBECK_CHECK(recipe.epochs >= 1, "Trainer: epochs is ", recipe.epochs, "; expected >= 1");
  LIMBECK_CHECK(recipe.batch >= 1, "Trainer: batch is ", recipe.batch, "; expected >= 1");
  LIMBECK_CHECK(recipe.accumulate >= 1 && recipe.accumulate <= recipe.batch,
                "Trainer: accumulate is ", recipe.accumulate, "; expected 1..batch, which is ",
                recipe.batch);
  LIMBECK_CHECK(options.report_every >= 1, "Trainer: report_every is ", options.report_every,
                "; expected >= 1");
  const bool has_teacher = teacher.model || teacher.logits.defined();
  LIMBECK_CHECK(
      has_teacher == options.distill.has_value(), "Trainer: ",
      has_teacher ? "a teacher but no loss to use it" : "a distillation loss but no teacher",
      "; expected both or neither");
  LIMBECK_CHECK(!teacher.logits.defined() || !data.augments(),
                "Trainer: teacher logits computed before for data that is augmented; expected no "
                "augmentation, or the teacher's model");
}

}  // namespace

Trainer::Trainer(Module& student, BatchSource& data, const Teacher& teacher,
                 const TrainerOptions& options)
    : student_(student), data_(data), teacher_(teacher), options_(options) {
  check(data, teacher, options);
  std::vector<std::int32_t>& samples = options_.samples;
  if (samples.empty()) {
    samples.resize(static_cast<std::size_t>(data.size()));
    std::iota(samples.begin(), samples.end(), 0);
  }
  const auto count = static_cast<std::int64_t>(samples.size());
  LIMBECK_CHECK(count >= 1, "Trainer: no samples; expected at least one");
  const Recipe& recipe = options_.recipe;
  steps_per_epoch_ = (count + recipe.batch - 1) / recipe.batch;
  state_ = {0, recipe.epochs * steps_per_epoch_, options_.seed};
  Schedule& schedule = options_.recipe.schedule;
  if (schedule.total_steps == 0) schedule.total_steps = state_.total_steps;
  learning_rate(schedule, 0);  // refuses a bad schedule now rather than at the first step
  optimizer_ = make_optimizer(student_, recipe);
  if (recipe.ema_decay > 0) ema_.emplace(student_.parameters(), recipe.ema_decay);
  loss_sum_ = Tensor::zeros({1}, DType::f32, data.device());
}

bool Trainer::resume() {
  if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return false;
  state_ =
      load_checkpoint(options_.checkpoint, student_, *optimizer_, state_, ema_ ? &*ema_ : nullptr);
  last_checkpoint_ = state_.step;
  return true;
}

void Trainer::run(const std::function<void(const Progress&)>& report) {
  while (state_.step < state_.total_steps) {
    train_step();
    const std::int64_t every = options_.checkpoint_every;
    const bool save = every > 0 && !options_.checkpoint.empty() && state_.step % every == 0;
    if (!save && state_.step % options_.report_every != 0 && state_.step < state_.total_steps)
      continue;
    const Progress now = progress();
    if (report) report(now);
    if (save) checkpoint();
  }
  if (ema_ && !ema_->swapped()) ema_->swap();
}

Batch Trainer::next_batch() {
  const std::int64_t epoch = state_.step / steps_per_epoch_;
  const auto count = static_cast<std::int64_t>(options_.samples.size());
  if (epoch != epoch_) {
    const auto number = static_cast<std::uint32_t>(epoch);
    data_.begin_epoch(shuffled(options_.samples, options_.seed, number), number);
    epoch_ = epoch;
  }
  const std::int64_t first = state_.step % steps_per_epoch_ * options_.recipe.batch;
  return data_.fetch(first, std::min(first + options_.recipe.batch, count),
                     static_cast<std::uint32_t>(state_.step));
}

void Trainer::train_step() {
  const Batch batch = next_batch();
  const std::int64_t rows = batch.x.dim(0);
  const std::int64_t part = (rows + options_.recipe.accumulate - 1) / options_.recipe.accumulate;
  optimizer_->zero_grad();
  for (std::int64_t first = 0; first < rows; first += part) {
    const Tensor loss = train_part(part_of(batch, first, std::min(first + part, rows)), first);
    add(loss_sum_, loss_sum_, loss);
  }
  optimizer_->step(learning_rate(options_.recipe.schedule, state_.step));
  if (ema_) ema_->update();
  ++state_.step;
  ++loss_steps_;
}

/// Forward and backward of the part of a batch that begins at first_row; returns its share of the
/// batch's loss.
Tensor Trainer::train_part(const Batch& part, std::int64_t first_row) {
  Context context{.training = true,
                  .seed = options_.seed,
                  .step = static_cast<std::uint32_t>(state_.step),
                  .first_row = first_row,
                  .lengths = part.lengths};
  const bool ids = part.x.dtype() == DType::i32;
  const Tensor x = ids ? part.x : part.x.to(optimizer_->dtype());
  const Variable logits = student_.forward(Variable(x), context);
  // Losses of 16-bit models are f32, so their gradients are scaled before they are rounded.
  const bool half = dtype_size(logits.value().dtype()) == 2;
  const Variable loss = loss_of(half ? cast(logits, DType::f32) : logits, part);
  const Tensor scale = optimizer_->loss_scale();
  scale.defined() ? loss.backward(scale) : loss.backward();
  return loss.value();
}

/// Logits are (B,V), or (B,T,V) where every step has a label.
Variable Trainer::loss_of(const Variable& given, const Batch& part) {
  const std::int64_t rows = part.labels.numel();
  const auto as_rows = [&](const Shape& logits) { return Shape{rows, logits[logits.rank() - 1]}; };
  const Variable logits = reshape(given, as_rows(given.value().shape()));
  const Tensor labels = part.labels.reshape({rows});
  if (!options_.distill) return cross_entropy(logits, labels, {.mean_over = part.targets});
  KdLossOptions loss = *options_.distill;
  loss.mean_over = part.targets;
  const Tensor teacher = teacher_logits(part);
  return kd_loss(logits, teacher.reshape(as_rows(teacher.shape())), labels, loss);
}

Tensor Trainer::teacher_logits(const Batch& part) {
  if (!teacher_.logits.defined()) return infer(*teacher_.model, part.x, part.lengths);
  Tensor rows = Tensor::empty({part.samples.dim(0), teacher_.logits.dim(1)},
                              teacher_.logits.dtype(), part.samples.device());
  gather_rows(rows, teacher_.logits, part.samples);
  return rows;
}

/// Fetches the loss, the one host read of the loop, and starts a new sum.
Progress Trainer::progress() {
  const double loss = loss_sum_.item() / static_cast<double>(loss_steps_);
  if (!std::isfinite(loss)) give_up(detail::concat("the loss is ", loss));
  loss_sum_.fill(0);
  loss_steps_ = 0;
  const std::int64_t last = state_.step - 1;
  return {state_.step, state_.total_steps, last / steps_per_epoch_, loss,
          learning_rate(options_.recipe.schedule, last)};
}

void Trainer::checkpoint() {
  Tensor flag = Tensor::empty({1}, DType::i32, data_.device());
  for (const NamedParameter& p : student_.parameters()) {
    all_finite(flag, p.value.value());
    if (flag.item() == 0) give_up("weight \"" + p.name + "\" is not finite");
  }
  save_checkpoint(options_.checkpoint, student_, *optimizer_, state_, ema_ ? &*ema_ : nullptr);
  last_checkpoint_ = state_.step;
}

void Trainer::give_up(const std::string& what) const {
  const std::string kept = last_checkpoint_ < 0
                               ? std::string("there is no checkpoint yet")
                               : detail::concat("the checkpoint of step ", last_checkpoint_,
                                                " is kept in ", options_.checkpoint);
  throw TrainingError(detail::concat("training stopped at step ", state_.step, " of ",
                                     state_.total_steps, ": ", what, "; ", kept));
}

}  // namespace limbeck
