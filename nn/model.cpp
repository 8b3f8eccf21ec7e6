// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/model.h>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/pool2d.h>

namespace limbeck {
namespace {

/// What flows into the next layer, for a batch of one.
struct Flow {
  Shape shape;
  Shape image;  ///< (H,W,C) of the last image, until a linear layer mixes its cells
};

std::unique_ptr<Module> make_linear(const LayerSpec& layer, const Flow& flow, DType dtype,
                                    Device device) {
  return std::make_unique<Linear>(flow.shape.numel(), layer.out, layer.bias, dtype, device,
                                  flow.image);
}

std::unique_ptr<Module> make_conv2d(const LayerSpec& layer, const Flow& flow, DType dtype,
                                    Device device) {
  LIMBECK_CHECK(flow.shape.rank() == 4, "input has shape ", flow.shape, "; expected (N,H,W,C)");
  const Conv2dOptions options = {layer.stride == 0 ? 1 : layer.stride, layer.padding};
  return std::make_unique<Conv2d>(flow.shape[3], layer.out, layer.kernel, options, layer.bias,
                                  dtype, device);
}

Pool2dOptions pool_options(const LayerSpec& layer) {
  return {layer.kernel, layer.stride == 0 ? layer.kernel : layer.stride, layer.padding};
}

std::unique_ptr<Module> make_layer(const LayerSpec& layer, const Flow& flow, DType dtype,
                                   Device device) {
  const std::string& type = layer.type;
  if (type == "linear") return make_linear(layer, flow, dtype, device);
  if (type == "conv2d") return make_conv2d(layer, flow, dtype, device);
  if (type == "max_pool2d") return std::make_unique<MaxPool2d>(pool_options(layer));
  if (type == "avg_pool2d") return std::make_unique<AvgPool2d>(pool_options(layer));
  if (type == "dropout") return std::make_unique<Dropout>(layer.p);
  if (type == "flatten") return std::make_unique<Flatten>();
  LIMBECK_CHECK(type == "relu" || type == "gelu" || type == "tanh" || type == "sigmoid",
                "unknown type; expected linear, conv2d, relu, gelu, tanh, sigmoid, dropout, ",
                "max_pool2d, avg_pool2d or flatten");
  return std::make_unique<ActivationLayer>(parse_activation(type));
}

Flow flow_after(const Module& module, const Flow& flow) {
  Flow next = {module.output_shape(flow.shape), flow.image};
  if (next.shape.rank() == 4) next.image = {next.shape[1], next.shape[2], next.shape[3]};
  if (dynamic_cast<const Linear*>(&module)) next.image = {};
  return next;
}

}  // namespace

std::unique_ptr<Sequential> build_model(const ModelSpec& spec, std::uint64_t seed, DType dtype,
                                        Device device) {
  const Shape& in = spec.input;
  LIMBECK_CHECK(in.rank() == 1 || in.rank() == 3, "build_model: input ", in,
                "; expected one sample's shape, (features) or (H,W,C)");
  Flow flow = in.rank() == 3 ? Flow{{1, in[0], in[1], in[2]}, in} : Flow{{1, in[0]}, {}};
  auto model = std::make_unique<Sequential>();
  for (const LayerSpec& layer : spec.layers) {
    try {
      std::unique_ptr<Module> module = make_layer(layer, flow, dtype, device);
      flow = flow_after(*module, flow);
      model->add(std::move(module), layer.name);
    } catch (const std::invalid_argument& e) {
      const std::string name = layer.name.empty() ? "" : " '" + layer.name + "'";
      throw std::invalid_argument(detail::concat("build_model: layer ", model->size(), name, " (",
                                                 layer.type, "): ", e.what()));
    }
  }
  initialize(*model, Init::torch_default, seed);
  return model;
}

}  // namespace limbeck
