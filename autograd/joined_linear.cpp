// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/joined_linear.h>

#include <limbeck/autograd/linear.h>

namespace limbeck {
namespace {

LinearPart part_of(const Tensor& x, const LinearLayer& layer, bool recorded) {
  const Tensor& w = layer.w.value();
  LIMBECK_CHECK(x.rank() == 2 && w.rank() == 2, "joined_linear: x has shape ", x.shape(),
                ", weight ", w.shape(), "; expected (N,I) and (O,I)");
  LinearPart part{.y = Tensor::empty({x.dim(0), w.dim(0)}, x.dtype(), x.device()),
                  .w = w,
                  .bias = layer.bias.defined() ? layer.bias.value() : Tensor(),
                  .act = layer.act,
                  .packed = layer.packed};
  if (recorded && activation_saves_input(layer.act)) part.pre = Tensor::empty_like(part.y);
  return part;
}

}  // namespace

std::vector<Variable> joined_linear(const Variable& x, std::span<const LinearLayer> layers,
                                    const WeightStack& stack) {
  std::vector<LinearPart> parts;
  for (const LinearLayer& layer : layers)
    parts.push_back(
        part_of(x.value(), layer, !layer.frozen && records(std::vector{x, layer.w, layer.bias})));
  joined_linear_forward(parts, x.value(), stack);
  std::vector<Variable> results;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LinearLayer& l = layers[i];
    results.push_back(l.frozen ? Variable(parts[i].y)
                               : record_linear(x, l.w, l.bias, l.act, parts[i].y, parts[i].pre));
  }
  return results;
}

}  // namespace limbeck
