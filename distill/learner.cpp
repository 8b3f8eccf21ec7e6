// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/learner.h>

#include <limbeck/core/trace.h>
#include <limbeck/distill/scope_names.h>

namespace limbeck {
namespace {

std::unique_ptr<Optimizer> make_optimizer(std::vector<NamedParameter> parameters,
                                          const Recipe& recipe) {
  if (const auto* sgd = std::get_if<SgdConfig>(&recipe.optimizer))
    return std::make_unique<Sgd>(std::move(parameters), *sgd);
  return std::make_unique<Adamw>(std::move(parameters), std::get<AdamwConfig>(recipe.optimizer));
}

/// The recipe of adapters: no parameter group of the model speaks of them, and scales of a
/// distribution are not to be drawn to 0, whatever is done to biases.
Recipe of_adapters(Recipe recipe) {
  const auto change = [](auto& config) {
    config.parameters.groups.clear();
    config.parameters.decay_biases = false;
  };
  std::visit(change, recipe.optimizer);
  return recipe;
}

}  // namespace

Learner::Learner(const Participant& participant, std::vector<NamedParameter> adapters,
                 std::int64_t total_steps)
    : participant_(participant),
      adapters_(std::move(adapters)),
      schedule_(participant.recipe.schedule) {
  const Recipe& recipe = participant_.recipe;
  if (schedule_.total_steps == 0) schedule_.total_steps = total_steps;
  lr(0);  // refuses a bad schedule now rather than at the first step
  optimizer_ = make_optimizer(participant_.model->parameters(), recipe);
  if (recipe.ema_decay > 0) ema_.emplace(participant_.model->parameters(), recipe.ema_decay);
  if (adapters_.empty()) return;
  LIMBECK_CHECK(!optimizer_->loss_scale().defined(), "Trainer: \"", participant_.name,
                "\" learns from features with a scaled loss; expected no loss scaling");
  adapter_optimizer_ = make_optimizer(adapters_, of_adapters(recipe));
}

void Learner::zero_grad() {
  optimizer_->zero_grad();
  if (adapter_optimizer_) adapter_optimizer_->zero_grad();
}

void Learner::backward(const Variable& loss) const {
  const TraceScope scope(scope_name(participant_), TraceKind::backward);
  const Tensor scale = optimizer_->loss_scale();
  scale.defined() ? loss.backward(scale) : loss.backward();
}

std::vector<double> Learner::numbers(std::int64_t step, std::int64_t ahead) const {
  std::vector<double> list = optimizer_->numbers(lr(step), optimizer_->steps() + ahead + 1);
  if (adapter_optimizer_) {
    const auto more =
        adapter_optimizer_->numbers(lr(step), adapter_optimizer_->steps() + ahead + 1);
    list.insert(list.end(), more.begin(), more.end());
  }
  if (ema_) list.push_back(ema_->decay(ema_->steps() + ahead));
  return list;
}

/// Both optimisers are of one kind: they take the same count of numbers.
void Learner::update(std::span<const StepNumber> numbers) {
  const TraceScope scope(scope_name(participant_), TraceKind::update);
  const std::size_t count = numbers.size() - (ema_ ? 1 : 0),
                    each = adapter_optimizer_ ? count / 2 : count;
  optimizer_->update(numbers.first(each));
  if (adapter_optimizer_) adapter_optimizer_->update(numbers.subspan(each, each));
  if (ema_) ema_->update(numbers.back());
}

void Learner::count_update() {
  optimizer_->count_step();
  if (adapter_optimizer_) adapter_optimizer_->count_step();
  if (ema_) ema_->count_step();
}

void Learner::step(std::int64_t step) {
  const std::vector<double> known = numbers(step, 0);
  update(std::vector<StepNumber>(known.begin(), known.end()));
  count_update();
}

void Learner::end() {
  if (ema_ && !ema_->swapped()) ema_->swap();
}

}  // namespace limbeck
