// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/ema.h>

#include <algorithm>
#include <stdexcept>

#include <limbeck/nn/named_tensors.h>

namespace limbeck {

Ema::Ema(std::vector<NamedParameter> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  LIMBECK_CHECK(decay >= 0 && decay < 1, "Ema: decay is ", decay, "; expected 0 <= decay < 1");
  for (const NamedParameter& p : parameters_) {
    const Tensor& value = p.value.value();
    const DType dtype = value.dtype() == DType::f64 ? DType::f64 : DType::f32;
    pairs_.push_back({value.clone().to(dtype), value});
  }
}

double Ema::decay(std::int64_t step) const {
  const auto t = static_cast<double>(step);
  return std::min(decay_, (1 + t) / (10 + t));
}

void Ema::update() {
  update(decay(steps_));
  count_step();
}

void Ema::update(const StepNumber& decay) {
  if (swapped())
    throw std::logic_error("Ema: update() between two swaps; expected the parameters back first");
  ema_step(pairs_, decay);
}

void Ema::swap() {
  if (!swapped()) {
    for (EmaPair& p : pairs_) {
      set_aside_.push_back(p.source.clone());
      p.source.copy_from(p.value.to(p.source.dtype()));
    }
    return;
  }
  for (std::size_t i = 0; i < pairs_.size(); ++i) pairs_[i].source.copy_from(set_aside_[i]);
  set_aside_.clear();
}

NamedTensors Ema::state() const {
  NamedTensors list = {{"step", Tensor::from(std::vector<std::int64_t>{steps_}, {1})}};
  for (std::size_t i = 0; i < pairs_.size(); ++i)
    list.emplace_back(parameters_[i].name + ".average", pairs_[i].value);
  return list;
}

void Ema::load_state(const NamedTensors& state) {
  NamedTensors own = this->state();
  copy_named(own, state, "averages do not fit the model");
  steps_ = own[0].second.to_vector<std::int64_t>()[0];
}

}  // namespace limbeck
