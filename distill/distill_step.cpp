// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/distill_step.h>

#include <algorithm>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/label_loss.h>
#include <limbeck/distill/lesson_checks.h>
#include <limbeck/distill/scope_names.h>
#include <limbeck/kernels/elementwise.h>

namespace limbeck {
namespace {

/// "student from teacher"; empty when nobody listens.
std::string lesson_name(const Lesson& lesson, const std::vector<Participant>& participants) {
  if (!traces(TraceKind::loss)) return {};
  std::string name = scope_name(participants[lesson.receiver]) + " from";
  for (const std::size_t source : lesson.sources) name += " " + scope_name(participants[source]);
  return lesson.sources.empty() ? name + " codes" : name;
}

}  // namespace

DistillStep::DistillStep(std::vector<Participant> participants, std::vector<Lesson> lessons,
                         std::int64_t total_steps, StepOptions options)
    : participants_(std::move(participants)),
      lessons_(std::move(lessons)),
      total_steps_(total_steps),
      options_(std::move(options)) {
  LIMBECK_CHECK(total_steps_ >= 1, "DistillStep: total_steps is ", total_steps_, "; expected >= 1");
  check_step(participants_, lessons_);
  LIMBECK_CHECK(!options_.gated || options_.order == UpdateOrder::simultaneous,
                "Trainer: a gate is trained with alternating updates; expected simultaneous ones");
  for (std::size_t i = 0; i < participants_.size(); ++i)
    if (participants_[i].trainable()) order_.push_back(i);
  forward_ = std::make_unique<JointForward>(participants_, lessons_,
                                            options_.pack_frozen);  // moves parameters: first
  make_learners();
}

void DistillStep::make_learners() {
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
    learners_[i] = std::make_unique<Learner>(participants_[i], adapters, total_steps_);
    LIMBECK_CHECK(!options_.gated || !learners_[i]->optimizer().loss_scale().defined(),
                  "Trainer: \"", participants_[i].name,
                  "\" learns beside a gate with a scaled loss; expected no loss scaling");
  }
}

Tensor DistillStep::operator()(const Batch& batch, std::int64_t step) {
  const TraceScope scope("step", TraceKind::step);
  std::optional<Arena::Step> in_arena;
  if (!batch.x.device().is_cuda()) in_arena.emplace(arena_, batch.x.dim(0));
  const std::vector<double> known = numbers(step);
  Tensor loss = Tensor::zeros({1}, DType::f32, batch.x.device());
  run(batch, {step, total_steps_}, std::vector<StepNumber>(known.begin(), known.end()), loss);
  count();
  return loss;
}

std::vector<double> DistillStep::numbers(std::int64_t step, std::int64_t ahead) const {
  std::vector<double> list = {static_cast<double>(step)};
  for (const std::size_t i : order_)
    for (const double number : learners_[i]->numbers(step, ahead)) list.push_back(number);
  return list;
}

std::span<const StepNumber> DistillStep::numbers_of(std::size_t learner, const Now& now) const {
  std::size_t first = 1;
  for (const std::size_t i : order_) {
    const std::size_t count = learners_[i]->numbers(now.clock.step, 0).size();
    if (i == learner) return now.numbers.subspan(first, count);
    first += count;
  }
  return {};
}

std::vector<double> DistillStep::key(const RunClock& clock) const {
  std::vector<double> key;
  for (const Lesson& lesson : lessons_)
    for (const double number : clock_numbers(lesson, clock)) key.push_back(number);
  return key;
}

void DistillStep::count() {
  for (const std::size_t i : order_) learners_[i]->count_update();
}

void DistillStep::run(const Batch& batch, const RunClock& clock,
                      std::span<const StepNumber> numbers, Tensor& loss) {
  if (options_.order == UpdateOrder::simultaneous)
    return learn(batch, {clock, numbers, loss, order_});
  for (const std::size_t i : order_) learn(batch, {clock, numbers, loss, {i}});
}

/// Forward, backward and update of some learners for one batch. All losses of a part are computed
/// before any backward, and all gradients before any update.
void DistillStep::learn(const Batch& batch, const Now& now) {
  const std::int64_t rows = batch.x.dim(0);
  const std::int64_t parts = participants_[order_.front()].recipe.accumulate;
  const std::int64_t step = (rows + parts - 1) / parts;
  for (const std::size_t i : now.learners) learners_[i]->zero_grad();
  for (std::int64_t first = 0; first < rows; first += step) {
    const Batch part = part_of(batch, first, std::min(first + step, rows));
    const std::vector<View> views = (*forward_)(part, {.step = now.numbers[0],
                                                       .first_row = first,
                                                       .clock = now.clock,
                                                       .learners = now.learners,
                                                       .whole_logits = options_.gated.has_value()});
    if (options_.gated)
      backward_together(views, part, static_cast<double>(rows), now);
    else
      backward_each(views, part, static_cast<double>(rows), now);
  }
  for (const std::size_t i : now.learners) learners_[i]->update(numbers_of(i, now));
}

void DistillStep::backward_each(const std::vector<View>& views, const Batch& part, double samples,
                                const Now& now) {
  for (const std::size_t i : now.learners) {
    const Variable loss = loss_of(i, views, part, samples, now.clock);
    learners_[i]->backward(loss);
    add(now.loss, now.loss, loss.value());
  }
}

/// The gate's loss reaches all learners, so there is one backward of everything.
void DistillStep::backward_together(const std::vector<View>& views, const Batch& part,
                                    double samples, const Now& now) {
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
      total = add(total, loss_of(i, views, part, samples, now.clock));
  const TraceScope scope("all", TraceKind::backward);
  total.backward();
  add(now.loss, now.loss, total.value());
}

/// The lessons a learner receives, in their order; without any, the labels.
Variable DistillStep::loss_of(std::size_t learner, const std::vector<View>& views,
                              const Batch& part, double samples, const RunClock& clock) const {
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
        lesson_loss(lesson, clock, views[learner], sources, part, samples, smoothing);
    if (loss.defined()) total = total.defined() ? add(total, loss) : loss;
  }
  if (!taught) {
    const TraceScope scope("labels", TraceKind::loss);
    return label_loss(views[learner].logits, part, smoothing);
  }
  LIMBECK_CHECK(total.defined(), "Trainer: nothing is left for \"", participants_[learner].name,
                "\" to learn at step ", clock.step, "; expected a weight above 0");
  return total;
}

}  // namespace limbeck
