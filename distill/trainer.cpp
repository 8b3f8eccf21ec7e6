// SPDX-License-Identifier: Apache-2.0
// The training loop: no host read between two reports.
#include <limbeck/distill/trainer.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/label_loss.h>
#include <limbeck/distill/lesson_checks.h>
#include <limbeck/distill/scope_names.h>
#include <limbeck/distill/shuffle.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

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

/// "student from teacher"; empty when nobody listens.
std::string lesson_name(const Lesson& lesson, const std::vector<Participant>& participants) {
  if (!traces(TraceKind::loss)) return {};
  std::string name = scope_name(participants[lesson.receiver]) + " from";
  for (const std::size_t source : lesson.sources) name += " " + scope_name(participants[source]);
  return lesson.sources.empty() ? name + " codes" : name;
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
  LIMBECK_CHECK(!options_.gated || options_.order == UpdateOrder::simultaneous,
                "Trainer: a gate is trained with alternating updates; expected simultaneous ones");
  prepare();
}

void Trainer::prepare() {
  for (std::size_t i = 0; i < participants_.size(); ++i)
    if (participants_[i].trainable()) order_.push_back(i);
  const Recipe& recipe = participants_[order_.front()].recipe;
  batch_ = recipe.batch;
  accumulate_ = recipe.accumulate;
  const auto count = static_cast<std::int64_t>(options_.samples.size());
  steps_per_epoch_ = (count + batch_ - 1) / batch_;
  state_ = {0, recipe.epochs * steps_per_epoch_, options_.seed};
  forward_ = std::make_unique<JointForward>(participants_, lessons_);  // moves parameters: first
  make_learners();
  make_graph();
  loss_sum_ = Tensor::zeros({1}, DType::f32, data_.device());
}

void Trainer::make_learners() {
  learners_.resize(participants_.size());
  for (const std::size_t i : order_) {
    std::vector<NamedParameter> adapters;
    for (std::size_t l = 0; l < lessons_.size(); ++l)
      for (std::size_t f = 0; lessons_[l].receiver == i && f < lessons_[l].features.size(); ++f)
        for (NamedParameter p : lessons_[l].features[f].loss->parameters()) {
          p.name = detail::concat(l, ".", f, ".", p.name);
          adapters.push_back(std::move(p));
        }
    if (options_.gated && i == order_.back())
      for (const NamedParameter& p : options_.gated->gate->parameters()) adapters.push_back(p);
    learners_[i] = std::make_unique<Learner>(participants_[i], adapters, state_.total_steps);
    LIMBECK_CHECK(!options_.gated || !learners_[i]->optimizer().loss_scale().defined(),
                  "Trainer: \"", participants_[i].name,
                  "\" learns beside a gate with a scaled loss; expected no loss scaling");
  }
}

StepWork Trainer::step_work() {
  StepWork work;
  work.numbers = [this](std::int64_t step) { return numbers(step); };
  work.key = [this] {
    std::vector<double> key;
    for (const Lesson& lesson : lessons_)
      for (const double number : clock_numbers(lesson, clock())) key.push_back(number);
    return key;
  };
  work.run = [this](const Batch& batch, std::span<const StepNumber> numbers) {
    learn_all(batch, numbers);
  };
  return work;
}

void Trainer::make_graph() {
  std::vector<Tensor> counters;  // batch norms count their batches
  for (const std::size_t i : order_)
    for (const NamedBuffer& buffer : participants_[i].model->buffers())
      if (buffer.value.dtype() == DType::i64) counters.push_back(buffer.value);
  graph_ = std::make_unique<StepGraph>(data_, batch_, std::move(counters), options_.capture);
}

/// Statistics that follow the taps are the run's own state.
CheckpointParts Trainer::checkpoint_parts() {
  CheckpointParts parts;
  for (const std::size_t i : order_) parts.learners.push_back(learners_[i].get());
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
  for (const std::size_t i : order_) learners_[i]->end();
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
  for (const std::size_t i : order_) learners_[i]->count_update();
  ++state_.step;
  ++loss_steps_;
}

/// What changes from step to step and is read on the device: the step, and each learner's numbers.
std::vector<double> Trainer::numbers(std::int64_t step) const {
  std::vector<double> list = {static_cast<double>(step)};
  for (const std::size_t i : order_)
    for (const double number : learners_[i]->numbers(step, step - state_.step))
      list.push_back(number);
  return list;
}

std::span<const StepNumber> Trainer::numbers_of(std::size_t learner) const {
  std::size_t first = 1;
  for (const std::size_t i : order_) {
    const std::size_t count = learners_[i]->numbers(state_.step, 0).size();
    if (i == learner) return now_.subspan(first, count);
    first += count;
  }
  return {};
}

/// All of a step's work, which a graph may hold; what the host counts is counted in train_step.
void Trainer::learn_all(const Batch& batch, std::span<const StepNumber> numbers) {
  now_ = numbers;
  if (options_.order == UpdateOrder::simultaneous)
    learn(batch, order_);
  else
    for (const std::size_t i : order_) learn(batch, {i});
}

/// Forward, backward and update of some learners for one batch. All losses of a part are computed
/// before any backward, and all gradients before any update.
void Trainer::learn(const Batch& batch, const std::vector<std::size_t>& learners) {
  const std::int64_t rows = batch.x.dim(0);
  const std::int64_t step = (rows + accumulate_ - 1) / accumulate_;
  for (const std::size_t i : learners) learners_[i]->zero_grad();
  for (std::int64_t first = 0; first < rows; first += step) {
    const Batch part = part_of(batch, first, std::min(first + step, rows));
    const std::vector<View> views = (*forward_)(part, {.step = now_[0],
                                                       .first_row = first,
                                                       .clock = clock(),
                                                       .learners = learners,
                                                       .whole_logits = options_.gated.has_value()});
    if (options_.gated)
      backward_together(views, part, static_cast<double>(rows));
    else
      backward_each(views, part, static_cast<double>(rows), learners);
  }
  for (const std::size_t i : learners) learners_[i]->update(numbers_of(i));
}

void Trainer::backward_each(const std::vector<View>& views, const Batch& part, double samples,
                            const std::vector<std::size_t>& learners) {
  for (const std::size_t i : learners) {
    const Variable loss = loss_of(i, views, part, samples);
    learners_[i]->backward(loss);
    add(loss_sum_, loss_sum_, loss.value());
  }
}

/// The gate's loss reaches all learners, so there is one backward of everything.
void Trainer::backward_together(const std::vector<View>& views, const Batch& part, double samples) {
  std::vector<Variable> logits;
  for (const std::size_t i : order_) logits.push_back(views[i].logits);
  GatedEnsembleOptions options = options_.gated->options;
  options.mean_over = part.targets;
  const auto gate_loss = [&] {
    const TraceScope scope("gate", TraceKind::loss);
    return options_.gated->gate->loss(logits, part.labels.reshape({part.labels.numel()}), options);
  };
  Variable total = gate_loss();
  for (const std::size_t i : order_)
    if (std::any_of(lessons_.begin(), lessons_.end(),
                    [&](const Lesson& lesson) { return lesson.receiver == i; }))
      total = add(total, loss_of(i, views, part, samples));
  const TraceScope scope("all", TraceKind::backward);
  total.backward();
  add(loss_sum_, loss_sum_, total.value());
}

/// The lessons a learner receives, in their order; without any, the labels.
Variable Trainer::loss_of(std::size_t learner, const std::vector<View>& views, const Batch& part,
                          double samples) const {
  const double smoothing = participants_[learner].recipe.label_smoothing;
  Variable total;
  bool taught = false;
  for (const Lesson& lesson : lessons_) {
    if (lesson.receiver != learner) continue;
    const TraceScope scope(lesson_name(lesson, participants_), TraceKind::loss);
    taught = true;
    std::vector<const View*> sources;
    for (const std::size_t source : lesson.sources) sources.push_back(&views[source]);
    const Variable loss =
        lesson_loss(lesson, clock(), views[learner], sources, part, samples, smoothing);
    if (loss.defined()) total = total.defined() ? add(total, loss) : loss;
  }
  if (!taught) {
    const TraceScope scope("labels", TraceKind::loss);
    return label_loss(views[learner].logits, part, smoothing);
  }
  LIMBECK_CHECK(total.defined(), "Trainer: nothing is left for \"", participants_[learner].name,
                "\" to learn at step ", state_.step, "; expected a weight above 0");
  return total;
}

/// Fetches the loss, the one host read of the loop, and starts a new sum.
Progress Trainer::progress() {
  const double loss = loss_sum_.item() / static_cast<double>(loss_steps_);
  if (!std::isfinite(loss)) give_up(detail::concat("the loss is ", loss));
  loss_sum_.fill(0);
  loss_steps_ = 0;
  const std::int64_t last = state_.step - 1;
  return {state_.step, state_.total_steps, last / steps_per_epoch_, loss,
          learners_[order_.front()]->lr(last)};
}

void Trainer::checkpoint() {
  Tensor flag = Tensor::empty({1}, DType::i32, data_.device());
  for (const std::size_t i : order_)
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
