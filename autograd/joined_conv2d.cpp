// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/joined_conv2d.h>

#include <limbeck/autograd/conv2d.h>

namespace limbeck {

std::vector<Variable> joined_conv2d(const Variable& x, std::span<const Conv2dLayer> layers,
                                    const Conv2dOptions& options, const WeightStack& stack) {
  const Tensor& xv = x.value();
  std::vector<Conv2dPart> parts;
  for (const Conv2dLayer& layer : layers) {
    const Tensor& w = layer.w.value();
    const Shape shape = conv2d_output_shape(xv.shape(), w.shape(), options);
    parts.push_back({Tensor::empty(shape, xv.dtype(), xv.device()), w,
                     layer.bias.defined() ? layer.bias.value() : Tensor(), layer.relu});
  }
  joined_conv2d_forward(parts, xv, options, stack);
  std::vector<Variable> results;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Conv2dLayer& layer = layers[i];
    Conv2dOptions own = options;
    own.relu = layer.relu;
    results.push_back(layer.frozen ? Variable(parts[i].y)
                                   : record_conv2d(x, layer.w, layer.bias, own, parts[i].y));
  }
  return results;
}

}  // namespace limbeck
