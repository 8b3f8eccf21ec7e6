// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/recurrent.h>

#include <limbeck/autograd/linear.h>
#include <limbeck/autograd/recurrent.h>
#include <limbeck/autograd/reshape.h>

namespace limbeck {
namespace {

const char* name_of(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::lstm:
      return "LSTM";
    case RecurrentCell::gru:
      return "GRU";
    default:
      return "RNN";
  }
}

}  // namespace

RecurrentLayers::RecurrentLayers(RecurrentCell cell, std::int64_t in, std::int64_t hidden,
                                 const RecurrentLayerOptions& options, DType dtype, Device device)
    : cell_(cell), in_(in), hidden_(hidden), options_(options), dropout_(options.dropout) {
  LIMBECK_CHECK(in >= 1 && hidden >= 1 && options.layers >= 1, name_of(cell), ": ", in, " in, ",
                hidden, " hidden, ", options.layers, " layers; expected all >= 1");
  const auto parameter = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, dtype, device), true);
  };
  const std::int64_t directions = options.bidirectional ? 2 : 1;
  const std::int64_t width = recurrent_gates(cell) * hidden;
  for (std::int64_t i = 0; i < options.layers * directions; ++i) {
    Weights w;
    w.w_ih = parameter({width, i < directions ? in : directions * hidden});
    w.w_hh = parameter({width, hidden});
    if (options.bias) w.b_ih = parameter({width});
    if (options.bias) w.b_hh = parameter({width});
    weights_.push_back(w);
  }
}

Variable RecurrentLayers::forward(const Variable& x, Context& context) {
  return forward_from({}, x, context).y;
}

RecurrentOutput RecurrentLayers::forward_from(const InitialStates& initial, const Variable& x,
                                              Context& context) {
  output_shape(x.shape());
  for (const auto* states : {&initial.h, &initial.c})
    LIMBECK_CHECK(states->empty() || states->size() == weights_.size(), describe(), ": ",
                  states->size(), " initial states; expected ", weights_.size());
  const std::int64_t N = x.shape()[0], T = x.shape()[1];
  const Tensor lengths =
      context.lengths.defined() ? context.lengths.to(x.value().device()) : Tensor();
  const std::size_t directions = options_.bidirectional ? 2 : 1;
  RecurrentOutput out{x, {}, {}};
  for (std::size_t first = 0; first < weights_.size(); first += directions) {
    const Variable input = first == 0 ? x : dropout_.forward(out.y, context);
    const Variable rows = reshape(input, {N * T, input.shape()[2]});
    std::vector<RecurrentDirection> layer;
    for (std::size_t i = first; i < first + directions; ++i) {
      const Weights& w = weights_[i];
      const Variable p = linear(rows, w.w_ih, w.b_ih, Activation::none);
      layer.push_back({reshape(p, {N, T, p.shape()[1]}), w.w_hh, w.b_hh,
                       initial.h.empty() ? Variable() : initial.h[i],
                       initial.c.empty() ? Variable() : initial.c[i]});
    }
    const RecurrentResult result = recurrent(layer, cell_, lengths);
    out.y = result.y;
    out.h_n.insert(out.h_n.end(), result.h_n.begin(), result.h_n.end());
    out.c_n.insert(out.c_n.end(), result.c_n.begin(), result.c_n.end());
  }
  return out;
}

Shape RecurrentLayers::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 3 && input[2] == in_, describe(), ": input has shape ", input,
                "; expected (N,T,", in_, ")");
  return {input[0], input[1], (options_.bidirectional ? 2 : 1) * hidden_};
}

std::vector<NamedParameter> RecurrentLayers::parameters() {
  const std::size_t directions = options_.bidirectional ? 2 : 1;
  std::vector<NamedParameter> list;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::string end =
        detail::concat("_l", i / directions, i % directions == 1 ? "_reverse" : "");
    const auto add = [&](const char* name, const Variable& value, bool decay) {
      if (!value.defined()) return;
      NamedParameter parameter = {.name = name + end, .value = value, .decay = decay};
      parameter.fan_in = hidden_;
      list.push_back(parameter);
    };
    add("weight_ih", weights_[i].w_ih, true);
    add("weight_hh", weights_[i].w_hh, true);
    add("bias_ih", weights_[i].b_ih, false);
    add("bias_hh", weights_[i].b_hh, false);
  }
  return list;
}

std::string RecurrentLayers::describe() const {
  std::string text = detail::concat(name_of(cell_), "(", in_, ", ", hidden_);
  if (options_.layers > 1) text += detail::concat(", ", options_.layers, " layers");
  if (options_.bidirectional) text += ", bidirectional";
  return text + ")";
}

}  // namespace limbeck
