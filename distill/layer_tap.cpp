// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/layer_tap.h>

#include <limbeck/core/error.h>

namespace limbeck {

void visit_taps(ModelGraph& model, const std::vector<std::size_t>& layers, const Batch& batch,
                const std::function<void(std::size_t, const Tensor&)>& visit) {
  const NoGrad no_grad;
  Context context{.lengths = batch.lengths};
  const auto parameters = model.parameters();
  const DType dtype = parameters.empty() ? DType::f32 : parameters.front().value.value().dtype();
  const Tensor x = batch.x.dtype() == DType::i32 ? batch.x : batch.x.to(dtype);
  model.forward(Variable(x), context, layers,
                [&](std::size_t i, const Variable& tap) { visit(i, tap.value()); });
}

std::size_t layer_named(const ModelGraph& model, const std::string& name,
                        const std::string& whose) {
  for (std::size_t i = 0; i < model.size(); ++i)
    if (model.name(i) == name) return i;
  throw std::invalid_argument(
      detail::concat("the ", whose, " has no layer '", name, "'; its last one is named '",
                     model.size() > 0 ? model.name(model.size() - 1) : ModelGraph::kInput, "'"));
}

Tensor layer_tap(ModelGraph& model, std::size_t layer, const Batch& batch) {
  Tensor value;
  visit_taps(model, {layer}, batch, [&](std::size_t, const Tensor& tap) { value = tap; });
  return value;
}

std::vector<std::int32_t> spread_samples(std::int64_t count, std::int64_t size) {
  std::vector<std::int32_t> places;
  for (std::int64_t i = 0; i < count; ++i)
    places.push_back(static_cast<std::int32_t>(i * size / count));
  return places;
}

}  // namespace limbeck
