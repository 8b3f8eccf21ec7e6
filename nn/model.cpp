// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/model.h>

#include <algorithm>

#include <limbeck/nn/init.h>
#include <limbeck/nn/layer_types.h>
#include <limbeck/nn/linear.h>

namespace limbeck {
namespace {

template <class List, class Name>
std::string names_of(const List& list, Name name) {
  std::string text;
  for (std::size_t i = 0; i < list.size(); ++i)
    text += (i == 0 ? "" : i + 1 == list.size() ? " or " : ", ") + std::string(name(list[i]));
  return text;
}

/// The type of a layer whose options all exist.
const LayerType& checked_type(const LayerSpec& layer, const LayerOptions& options) {
  const auto name = [](const auto& named) { return named.name; };
  const LayerType* type = find_layer_type(layer.type);
  LIMBECK_CHECK(type, "unknown type; expected ", names_of(layer_types(), name));
  for (const auto& [key, value] : options.values())
    LIMBECK_CHECK(std::any_of(type->keys.begin(), type->keys.end(),
                              [&](const LayerKey& known) { return known.name == key; }),
                  "unknown option '", key, "'; expected ",
                  type->keys.empty() ? "none" : names_of(type->keys, name));
  return *type;
}

/// Adds layer after layer and keeps what flows between them, for a batch of one.
class Builder {
 public:
  Builder(const ModelSpec& spec, DType dtype, Device device)
      : spec_(spec), dtype_(dtype), device_(device) {
    const Shape& in = spec.input;
    LIMBECK_CHECK(in.rank() == 1 || in.rank() == 3, "build_model: input ", in,
                  "; expected one sample's shape, (features) or (H,W,C)");
    input_ = in.rank() == 3 ? Shape{1, in[0], in[1], in[2]} : Shape{1, in[0]};
  }

  std::unique_ptr<ModelGraph> build() {
    for (const LayerSpec& layer : spec_.layers) {
      try {
        add(layer);
      } catch (const std::invalid_argument& e) {
        const std::string name = layer.name.empty() ? "" : " '" + layer.name + "'";
        throw std::invalid_argument(detail::concat("build_model: layer ", shapes_.size(), name,
                                                   " (", layer.type, "): ", e.what()));
      }
    }
    for (const auto& [first, last] : spec_.recompute) graph_->recompute(first, last);
    return std::move(graph_);
  }

 private:
  void add(const LayerSpec& layer) {
    const LayerOptions options = options_of(layer);
    const LayerType& type = checked_type(layer, options);
    if (type.join) {
      LIMBECK_CHECK(layer.from.size() >= 2, "reads ", layer.from.size(),
                    " inputs; expected at least 2");
      const std::size_t first = position(layer.from[0]);
      for (const std::string& from : layer.from) position(from);
      graph_->add(*type.join, layer.from, layer.name);
      flow_on(image_of(first));
      return;
    }
    LIMBECK_CHECK(layer.from.size() <= 1, "reads ", layer.from.size(), " inputs; expected one");
    const std::string from = layer.from.empty() ? "" : layer.from[0];
    const std::size_t input = position(from);
    LayerInput in = {input == kInput ? input_ : shapes_[input], image_of(input), dtype_, device_};
    if (options.has("to")) in.tied = weight_of(options.text("to", ""));
    std::unique_ptr<Module> module = type.make(options, in);
    const bool mixes = dynamic_cast<const Linear*>(module.get());
    graph_->add(std::move(module), layer.name, from);
    flow_on(mixes ? Shape{} : in.image);
  }

  void flow_on(const Shape& image) {
    const Shape shape = graph_->node_shape(graph_->size() - 1, input_, shapes_);
    shapes_.push_back(shape);
    const bool is_image = shape.rank() == 4;
    images_.push_back(is_image            ? Shape{shape[1], shape[2], shape[3]}
                      : shape.rank() == 2 ? image
                                          : Shape{});
  }

  Shape image_of(std::size_t i) const {
    if (i == kInput) return spec_.input.rank() == 3 ? spec_.input : Shape{};
    return images_[i];
  }

  /// The layer a name means, or kInput; the layer before for an empty one.
  std::size_t position(const std::string& name) const {
    if (name.empty()) return graph_->size() - 1;  // kInput when there is none
    if (name == ModelGraph::kInput) return kInput;
    for (std::size_t i = 0; i < graph_->size(); ++i)
      if (graph_->name(i) == name) return i;
    const bool later = std::any_of(spec_.layers.begin(), spec_.layers.end(),
                                   [&](const LayerSpec& layer) { return layer.name == name; });
    throw std::invalid_argument(
        detail::concat("reads '", name, "', ",
                       later ? "which does not come before it; a model has no cycles and expected "
                             : "which is the name of no layer; expected ",
                       "\"input\" or the name of an earlier layer"));
  }

  Variable weight_of(const std::string& name) const {
    const std::size_t at = position(name);
    Module* owner = at == kInput ? nullptr : graph_->layer(at);
    if (owner)
      for (const NamedParameter& p : owner->parameters())
        if (p.name == "weight") return p.value;
    throw std::invalid_argument("'" + name + "' has no weight to be tied to");
  }

  static constexpr std::size_t kInput = static_cast<std::size_t>(-1);
  const ModelSpec& spec_;
  DType dtype_;
  Device device_;
  Shape input_;
  std::unique_ptr<ModelGraph> graph_ = std::make_unique<ModelGraph>();
  std::vector<Shape> shapes_, images_;  ///< of every node's output
};

}  // namespace

LayerOptions options_of(const LayerSpec& layer) {
  LayerOptions options = layer.options;
  if (layer.out != 0) options.set("out", layer.out);
  if (!layer.bias) options.set("bias", false);
  if (layer.kernel != 0) options.set("kernel", layer.kernel);
  if (layer.stride != 0) options.set("stride", layer.stride);
  if (layer.padding != 0) options.set("padding", layer.padding);
  if (layer.p != 0) options.set("p", layer.p);
  return options;
}

std::unique_ptr<ModelGraph> build_model(const ModelSpec& spec, std::uint64_t seed, DType dtype,
                                        Device device) {
  std::unique_ptr<ModelGraph> model = Builder(spec, dtype, device).build();
  initialize(*model, Init::torch_default, seed);
  return model;
}

}  // namespace limbeck
