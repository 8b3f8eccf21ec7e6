// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/optimizer.h>

#include <map>

#include <limbeck/kernels/adamw.h>
#include <limbeck/kernels/sgd.h>

namespace limbeck {
namespace {

std::string kind_of(const Tensor& t) { return detail::concat(t.dtype(), t.shape()); }

/// One line naming what keeps `given` from standing for `wanted`; empty when nothing does.
std::string differences(const NamedTensors& wanted, const std::map<std::string, Tensor>& given) {
  std::string text;
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    if (found == given.end())
      text += detail::concat("; missing '", name, "' ", kind_of(tensor));
    else if (kind_of(found->second) != kind_of(tensor))
      text += detail::concat("; '", name, "' is ", kind_of(found->second), ", expected ",
                             kind_of(tensor));
  }
  const std::map<std::string, Tensor> known(wanted.begin(), wanted.end());
  for (const auto& [name, tensor] : given)
    if (!known.contains(name))
      text += detail::concat("; unexpected '", name, "' ", kind_of(tensor));
  return text;
}

double decay_of(const NamedParameter& p, double weight_decay, bool decay_biases) {
  return p.decay || decay_biases ? weight_decay : 0;
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedParameter> parameters, std::vector<std::string> slots)
    : parameters_(std::move(parameters)), slots_(std::move(slots)) {
  for (const NamedParameter& p : parameters_)
    for (std::size_t i = 0; i < slots_.size(); ++i)
      buffers_.push_back(Tensor::zeros_like(p.value.value()));
}

void Optimizer::zero_grad() {
  for (NamedParameter& p : parameters_) p.value.zero_grad();
}

NamedTensors Optimizer::state() const {
  NamedTensors list = {{"step", Tensor::from(std::vector<std::int64_t>{steps_}, {1})}};
  for (std::size_t p = 0; p < parameters_.size(); ++p)
    for (std::size_t i = 0; i < slots_.size(); ++i)
      list.emplace_back(parameters_[p].name + "." + slots_[i], slot(p, i));
  return list;
}

void Optimizer::load_state(const NamedTensors& state) {
  const std::map<std::string, Tensor> given(state.begin(), state.end());
  NamedTensors own = this->state();
  const std::string wrong = differences(own, given);
  LIMBECK_CHECK(wrong.empty(), "optimizer state does not fit the model", wrong);
  for (auto& [name, tensor] : own) tensor.copy_from(given.at(name));
  steps_ = given.at("step").to_vector<std::int64_t>()[0];
}

Sgd::Sgd(std::vector<NamedParameter> parameters, const SgdConfig& config)
    : Optimizer(std::move(parameters), config.momentum != 0 ? std::vector<std::string>{"momentum"}
                                                            : std::vector<std::string>{}),
      config_(config) {}

void Sgd::step(double lr) {
  std::vector<SgdParam> list;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    NamedParameter& p = parameters_[i];
    const Tensor grad = p.value.grad();
    if (!grad.defined()) continue;
    const double decay = decay_of(p, config_.weight_decay, config_.decay_biases);
    list.push_back({p.value.value(), grad, config_.momentum != 0 ? slot(i, 0) : Tensor(), decay});
  }
  sgd_step(list, {lr, config_.momentum, config_.nesterov});
  ++steps_;
}

Adamw::Adamw(std::vector<NamedParameter> parameters, const AdamwConfig& config)
    : Optimizer(std::move(parameters), {"moment1", "moment2"}), config_(config) {}

void Adamw::step(double lr) {
  std::vector<AdamwParam> list;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    NamedParameter& p = parameters_[i];
    const Tensor grad = p.value.grad();
    if (!grad.defined()) continue;
    const double decay = decay_of(p, config_.weight_decay, config_.decay_biases);
    list.push_back({p.value.value(), grad, slot(i, 0), slot(i, 1), decay});
  }
  adamw_step(list, {lr, config_.beta1, config_.beta2, config_.eps, steps_ + 1});
  ++steps_;
}

}  // namespace limbeck
