// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/optimizer.h>

#include <cmath>
#include <regex>

#include <limbeck/kernels/adamw.h>
#include <limbeck/kernels/sgd.h>

namespace limbeck {
namespace {

bool is_half(const Tensor& t) { return t.dtype() == DType::bf16 || t.dtype() == DType::f16; }

Tensor zeros_to_add(const Tensor& parameter) {
  const DType dtype = is_half(parameter) ? DType::f32 : parameter.dtype();
  return Tensor::zeros(parameter.shape(), dtype, parameter.device());
}

std::regex compile(const ParameterGroup& group) {
  LIMBECK_CHECK(group.lr_scale >= 0, "parameter group '", group.match, "': lr_scale is ",
                group.lr_scale, "; expected >= 0");
  LIMBECK_CHECK(group.weight_decay.value_or(0) >= 0, "parameter group '", group.match,
                "': weight_decay is ", group.weight_decay.value_or(0), "; expected >= 0");
  try {
    return std::regex(group.match);
  } catch (const std::regex_error& e) {
    throw std::invalid_argument(
        detail::concat("parameter group '", group.match, "' is no regular expression: ", e.what()));
  }
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedParameter> parameters, std::vector<std::string> slots,
                     const ParameterConfig& config)
    : parameters_(std::move(parameters)), slots_(std::move(slots)), gradients_(config.gradients) {
  for (const NamedParameter& p : parameters_) {
    const Tensor& value = p.value.value();
    for (std::size_t i = 0; i < slots_.size(); ++i) buffers_.push_back(zeros_to_add(value));
    masters_.push_back(is_half(value) ? value.to(DType::f32) : Tensor());
    settings_.push_back({1, p.decay || config.decay_biases ? config.weight_decay : 0});
  }
  apply_groups(config);
  if (!parameters_.empty()) prepare_scaling();
}

void Optimizer::apply_groups(const ParameterConfig& config) {
  std::vector<bool> taken(parameters_.size(), false);
  for (const ParameterGroup& group : config.groups) {
    const std::regex pattern = compile(group);
    bool found = false;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!std::regex_match(parameters_[i].name, pattern)) continue;
      found = true;
      if (taken[i]) continue;
      taken[i] = true;
      settings_[i].lr_scale = group.lr_scale;
      if (group.weight_decay) settings_[i].weight_decay = *group.weight_decay;
    }
    LIMBECK_CHECK(found, "parameter group '", group.match, "' matches none of ", parameters_.size(),
                  " parameters; expected at least one");
  }
}

void Optimizer::prepare_scaling() {
  const GradientConfig& g = gradients_;
  LIMBECK_CHECK(g.max_norm > 0, "optimizer: max_norm is ", g.max_norm, "; expected > 0");
  if (std::isinf(g.max_norm) && !g.loss_scaling) return;
  const Tensor& first = parameters_[0].value.value();
  const auto one = [&](double value) {
    return Tensor::full({1}, value, first.dtype() == DType::f64 ? DType::f64 : DType::f32,
                        first.device());
  };
  factor_ = one(1);
  norm_ = one(0);
  if (!g.loss_scaling) return;
  LIMBECK_CHECK(first.dtype() != DType::f64, "optimizer: loss scaling of f64; expected f32, bf16 ",
                "or f16");
  LIMBECK_CHECK(g.loss_scaling->initial > 0, "optimizer: initial loss scale is ",
                g.loss_scaling->initial, "; expected > 0");
  loss_scale_ = one(g.loss_scaling->initial);
  streak_ = one(0);
}

Tensor Optimizer::scale_gradients() {
  if (!factor_.defined()) return {};
  std::vector<Tensor> grads;
  for (const NamedParameter& p : parameters_)
    if (p.value.grad().defined()) grads.push_back(p.value.grad());
  if (grads.empty()) return {};
  grad_scale(factor_, norm_, grads, {gradients_.max_norm, loss_scale_});
  if (loss_scale_.defined())
    update_loss_scale(loss_scale_, streak_, norm_, gradients_.loss_scaling->change);
  return factor_;
}

template <class Param, class Fill>
std::vector<Param> Optimizer::gather_params(Fill fill) {
  std::vector<Param> list;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Variable& parameter = parameters_[i].value;
    Param p{};
    p.grad = parameter.grad();
    if (!p.grad.defined()) continue;
    const bool half = masters_[i].defined();
    p.value = half ? masters_[i] : parameter.value();
    if (half) p.rounded = parameter.value();
    p.lr_scale = settings_[i].lr_scale;
    p.weight_decay = settings_[i].weight_decay;
    fill(p, i);
    list.push_back(p);
  }
  return list;
}

DType Optimizer::dtype() const {
  return parameters_.empty() ? DType::f32 : parameters_.front().value.value().dtype();
}

void Optimizer::step(double lr) {
  const std::vector<double> known = numbers(lr, steps_ + 1);
  update(std::vector<StepNumber>(known.begin(), known.end()));
  count_step();
}

void Optimizer::zero_grad() {
  for (NamedParameter& p : parameters_) p.value.zero_grad();
}

NamedTensors Optimizer::state() const {
  NamedTensors list = {{"step", Tensor::from(std::vector<std::int64_t>{steps_}, {1})}};
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    for (std::size_t i = 0; i < slots_.size(); ++i)
      list.emplace_back(parameters_[p].name + "." + slots_[i], slot(p, i));
    if (masters_[p].defined()) list.emplace_back(parameters_[p].name + ".master", masters_[p]);
  }
  if (loss_scale_.defined()) {
    list.emplace_back("loss_scale", loss_scale_);
    list.emplace_back("loss_scale_streak", streak_);
  }
  return list;
}

void Optimizer::load_state(const NamedTensors& state) {
  NamedTensors own = this->state();
  copy_named(own, state, "optimizer state does not fit the model");
  steps_ = own[0].second.to_vector<std::int64_t>()[0];
}

Sgd::Sgd(std::vector<NamedParameter> parameters, const SgdConfig& config)
    : Optimizer(
          std::move(parameters),
          config.momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{},
          config.parameters),
      config_(config) {}

std::vector<double> Sgd::numbers(double lr, std::int64_t) const { return {lr}; }

void Sgd::update(std::span<const StepNumber> numbers) {
  auto params = gather_params<SgdParam>([&](SgdParam& p, std::size_t i) {
    if (config_.momentum != 0) p.momentum = slot(i, 0);
  });
  sgd_step(params, {numbers[0], config_.momentum, config_.nesterov, scale_gradients()});
}

Adamw::Adamw(std::vector<NamedParameter> parameters, const AdamwConfig& config)
    : Optimizer(std::move(parameters), {"moment1", "moment2"}, config.parameters),
      config_(config) {}

std::vector<double> Adamw::numbers(double lr, std::int64_t number) const {
  return {lr, adamw_bias_correction(config_.beta1, number),
          adamw_bias_correction(config_.beta2, number)};
}

void Adamw::update(std::span<const StepNumber> numbers) {
  auto params = gather_params<AdamwParam>([&](AdamwParam& p, std::size_t i) {
    p.moment1 = slot(i, 0);
    p.moment2 = slot(i, 1);
  });
  adamw_step(params, {.lr = numbers[0],
                      .beta1 = config_.beta1,
                      .beta2 = config_.beta2,
                      .eps = config_.eps,
                      .grad_scale = scale_gradients(),
                      .correction1 = numbers[1],
                      .correction2 = numbers[2]});
}

}  // namespace limbeck
