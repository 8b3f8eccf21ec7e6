// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/sequential.h>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/linear.h>

namespace limbeck {

void Sequential::add(std::unique_ptr<Module> layer, std::string name) {
  if (name.empty()) name = std::to_string(layers_.size());
  LIMBECK_CHECK(name.find('.') == std::string::npos, "Sequential: layer name '", name,
                "'; expected no dot");
  for (const Layer& other : layers_)
    LIMBECK_CHECK(other.name != name, "Sequential: two layers are named '", name,
                  "'; expected different names");
  layers_.push_back({std::move(name), std::move(layer)});
}

Variable Sequential::forward(const Variable& x, Context& context) {
  Variable y = x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    auto* linear = dynamic_cast<Linear*>(layers_[i].module.get());
    const ActivationLayer* next = nullptr;
    if (linear && i + 1 < layers_.size())
      next = dynamic_cast<ActivationLayer*>(layers_[i + 1].module.get());
    if (next) {
      y = linear->forward_fused(y, next->activation());
      ++i;
    } else {
      y = layers_[i].module->forward(y, context);
    }
  }
  return y;
}

Shape Sequential::output_shape(const Shape& input) const {
  Shape shape = input;
  for (const Layer& layer : layers_) shape = layer.module->output_shape(shape);
  return shape;
}

std::vector<NamedParameter> Sequential::parameters() {
  std::vector<NamedParameter> list;
  for (const Layer& layer : layers_)
    for (NamedParameter& p : layer.module->parameters()) {
      p.name = layer.name + "." + p.name;
      list.push_back(std::move(p));
    }
  return list;
}

std::vector<NamedBuffer> Sequential::buffers() {
  std::vector<NamedBuffer> list;
  for (const Layer& layer : layers_)
    for (const NamedBuffer& b : layer.module->buffers())
      list.push_back({layer.name + "." + b.name, b.value});
  return list;
}

std::string Sequential::describe() const {
  std::string text = "Sequential(";
  for (std::size_t i = 0; i < layers_.size(); ++i)
    text += (i ? ", " : "") + layers_[i].module->describe();
  return text + ")";
}

}  // namespace limbeck
