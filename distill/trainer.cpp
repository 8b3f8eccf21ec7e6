// SPDX-License-Identifier: Apache-2.0
// The training loop: no host read between two reports.
#include <limbeck/distill/trainer.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <limbeck/core/trace.h>
#include <limbeck/distill/lesson_checks.h>
#include <limbeck/distill/shuffle.h>
#include <limbeck/kernels/reduce.h>
#include <limbeck/kernels/step_history.h>

namespace limbeck {
namespace {

constexpr std::size_t kStudent = 0, kTeacher = 1;

std::vector<Participant> student_and_teacher(Module& student, const Teacher& teacher,
                                             const TrainerOptions& options) {
  std::vector<Participant> list = {
      {.model = &student, .recipe = options.recipe, .seed = options.seed}};
  if (teacher.logits.defined())
    list.push_back({.name = "teacher", .logits = teacher.logits});
  else if (teacher.model)
    list.push_back({.name = "teacher", .model = teacher.model, .state = ModelState::frozen_eval});
  return list;
}

std::vector<Lesson> teachers_lesson(const Teacher& teacher, const TrainerOptions& options) {
  const bool has_teacher = teacher.model || teacher.logits.defined();
  LIMBECK_CHECK(
      has_teacher == options.distill.has_value(), "Trainer: ",
      has_teacher ? "a teacher but no loss to use it" : "a distillation loss but no teacher",
      "; expected both or neither");
  if (!has_teacher) return {};
  return {{.receiver = kStudent, .sources = {kTeacher}, .logits = options.distill}};
}

}  // namespace

Trainer::Trainer(Module& student, BatchSource& data, const Teacher& teacher,
                 const TrainerOptions& options)
    : Trainer(student_and_teacher(student, teacher, options), teachers_lesson(teacher, options),
              data, options) {}

Trainer::Trainer(std::vector<Participant> participants, std::vector<Lesson> lessons,
                 BatchSource& data, RunOptions options)
    : participants_(std::move(participants)),
      lessons_(std::move(lessons)),
      data_(data),
      options_(std::move(options)) {
  check_run(participants_, lessons_, data_);
  LIMBECK_CHECK(options_.report_every >= 1, "Trainer: report_every is ", options_.report_every,
                "; expected >= 1");
  std::vector<std::int32_t>& samples = options_.samples;
  if (samples.empty()) {
    samples.resize(static_cast<std::size_t>(data.size()));
    std::iota(samples.begin(), samples.end(), 0);
  }
  LIMBECK_CHECK(!samples.empty(), "Trainer: no samples; expected at least one");
  prepare();
}

void Trainer::prepare() {
  const auto first = std::find_if(participants_.begin(), participants_.end(),
                                  [](const Participant& p) { return p.trainable(); });
  const Recipe& recipe = first->recipe;
  batch_ = recipe.batch;
  const auto count = static_cast<std::int64_t>(options_.samples.size());
  steps_per_epoch_ = (count + batch_ - 1) / batch_;
  state_ = {0, recipe.epochs * steps_per_epoch_, options_.seed};
  step_ = std::make_unique<DistillStep>(participants_, lessons_, state_.total_steps,
                                        StepOptions{options_.order, options_.gated, true});
  make_graph();
  loss_ = Tensor::zeros({1}, DType::f32, data_.device());
  losses_ = Tensor::zeros({std::min(options_.report_every, state_.total_steps)}, DType::f32,
                          data_.device());
}

StepWork Trainer::step_work() {
  StepWork work;
  work.numbers = [this](std::int64_t step) { return step_->numbers(step, step - state_.step); };
  work.key = [this] { return step_->key(clock()); };
  work.run = [this](const Batch& batch, std::span<const StepNumber> numbers) {
    loss_.fill(0);
    step_->run(batch, clock(), numbers, loss_);
    record_step(losses_, numbers[0], loss_);
  };
  return work;
}

void Trainer::make_graph() {
  std::vector<Tensor> counters;  // batch norms count their batches
  for (const std::size_t i : step_->order())
    for (const NamedBuffer& buffer : participants_[i].model->buffers())
      if (buffer.value.dtype() == DType::i64) counters.push_back(buffer.value);
  graph_ = std::make_unique<StepGraph>(data_, batch_, std::move(counters), options_.capture);
}

/// Statistics that follow the taps are the run's own state.
CheckpointParts Trainer::checkpoint_parts() {
  CheckpointParts parts;
  for (const std::size_t i : step_->order()) parts.learners.push_back(step_->learners()[i].get());
  for (std::size_t l = 0; l < lessons_.size(); ++l)
    for (std::size_t f = 0; f < lessons_[l].features.size(); ++f)
      if (const auto& statistics = lessons_[l].features[f].statistics) {
        const std::string name = detail::concat("statistics.", l, ".", f, ".");
        parts.tensors.emplace_back(name + "mean", statistics->mean);
        parts.tensors.emplace_back(name + "variance", statistics->variance);
      }
  return parts;
}

bool Trainer::resume() {
  if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return false;
  CheckpointParts parts = checkpoint_parts();
  state_ = load_checkpoint(options_.checkpoint, parts, state_);
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
  for (const std::size_t i : step_->order()) step_->learners()[i]->end();
}

void Trainer::begin_epoch() {
  const std::int64_t epoch = state_.step / steps_per_epoch_;
  if (epoch == epoch_) return;
  const auto number = static_cast<std::uint32_t>(epoch);
  graph_->begin_epoch(shuffled(options_.samples, options_.seed, number), number);
  epoch_ = epoch;
}

std::int64_t Trainer::rows_of_batch() const {
  const auto count = static_cast<std::int64_t>(options_.samples.size());
  return std::min(batch_, count - state_.step % steps_per_epoch_ * batch_);
}

void Trainer::train_step() {
  const TraceScope scope("step", TraceKind::step);
  begin_epoch();
  std::optional<Arena::Step> in_arena;
  if (options_.arena && !data_.device().is_cuda()) in_arena.emplace(arena_, rows_of_batch());
  const std::int64_t first = state_.step % steps_per_epoch_ * batch_;
  graph_->run({state_.step, first, first + rows_of_batch()}, step_work());
  step_->count();
  ++state_.step;
  ++loss_steps_;
}

/// Fetches the losses, the one host read of the loop.
Progress Trainer::progress() {
  const std::vector<float> kept = losses_.to_vector<float>();
  const std::int64_t last = state_.step - 1;
  Progress now = {state_.step, state_.total_steps, last / steps_per_epoch_};
  for (std::int64_t step = state_.step - loss_steps_; step < state_.step; ++step)
    now.losses.push_back(kept[static_cast<std::size_t>(step) % kept.size()]);
  now.loss = std::accumulate(now.losses.begin(), now.losses.end(), 0.0) /
             static_cast<double>(now.losses.size());
  if (!std::isfinite(now.loss)) give_up(detail::concat("the loss is ", now.loss));
  now.lr = step_->learners()[step_->order().front()]->lr(last);
  loss_steps_ = 0;
  return now;
}

void Trainer::checkpoint() {
  Tensor flag = Tensor::empty({1}, DType::i32, data_.device());
  for (const std::size_t i : step_->order())
    for (const NamedParameter& p : participants_[i].model->parameters()) {
      all_finite(flag, p.value.value());
      if (flag.item() == 0) give_up("weight \"" + p.name + "\" is not finite");
    }
  save_checkpoint(options_.checkpoint, checkpoint_parts(), state_);
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
