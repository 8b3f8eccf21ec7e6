// SPDX-License-Identifier: Apache-2.0
// Model specifications to and from JSON.
#include <limbeck/tools/model_json.h>

#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// Checks the keys of one layer against its type.
JsonObject open_layer(const json& value, const std::string& path) {
  const JsonObject any(value, path,
                       {"type", "name", "out", "bias", "kernel", "stride", "padding", "p"});
  const std::string type = any.text("type");
  if (type == "linear") return {value, path, {"type", "name", "out", "bias"}};
  if (type == "conv2d")
    return {value, path, {"type", "name", "out", "bias", "kernel", "stride", "padding"}};
  if (type == "max_pool2d" || type == "avg_pool2d")
    return {value, path, {"type", "name", "kernel", "stride", "padding"}};
  if (type == "dropout") return {value, path, {"type", "name", "p"}};
  const auto plain = {"relu", "gelu", "tanh", "sigmoid", "flatten"};
  LIMBECK_CHECK(std::find(plain.begin(), plain.end(), type) != plain.end(), any.path("type"),
                ": unknown layer \"", type, "\"; did you mean \"",
                nearest_word(type, {"linear", "conv2d", "max_pool2d", "avg_pool2d", "dropout",
                                    "relu", "gelu", "tanh", "sigmoid", "flatten"}),
                "\"?");
  return {value, path, {"type", "name"}};
}

LayerSpec read_layer(const json& value, const std::string& path) {
  const JsonObject layer = open_layer(value, path);
  LayerSpec spec;
  spec.type = layer.text("type");
  spec.name = layer.text("name", "");
  const bool conv = spec.type == "conv2d";
  const bool pool = spec.type == "max_pool2d" || spec.type == "avg_pool2d";
  if (conv || spec.type == "linear") {
    spec.out = layer.integer("out", 1);
    spec.bias = layer.flag("bias", true);
  }
  if (conv || pool) {
    spec.kernel = layer.integer("kernel", 1);
    spec.stride = layer.integer("stride", 1, conv ? 1 : spec.kernel);
    spec.padding = layer.integer("padding", 0, 0);
  }
  if (spec.type == "dropout") spec.p = layer.number("p");
  return spec;
}

json write_layer(const LayerSpec& spec) {
  json layer = {{"type", spec.type}};
  if (!spec.name.empty()) layer["name"] = spec.name;
  if (spec.out > 0) layer["out"] = spec.out;
  if (!spec.bias) layer["bias"] = false;
  if (spec.kernel > 0) layer["kernel"] = spec.kernel;
  if (spec.stride > 0) layer["stride"] = spec.stride;
  if (spec.padding > 0) layer["padding"] = spec.padding;
  if (spec.type == "dropout") layer["p"] = spec.p;
  return layer;
}

std::vector<LayerSpec> read_layers(const JsonObject& model) {
  std::vector<LayerSpec> layers;
  model.at("layers");
  for (const auto& element : model.elements("layers"))
    layers.push_back(read_layer(element.value, element.path));
  LIMBECK_CHECK(!layers.empty(), model.path("layers"), ": is empty; expected at least one layer");
  return layers;
}

}  // namespace

ModelSpec read_model(const json& value, const std::string& path, const Shape& input) {
  return {input, read_layers(JsonObject(value, path, {"layers"}))};
}

json write_model(const ModelSpec& spec) {
  json layers = json::array();
  for (const LayerSpec& layer : spec.layers) layers.push_back(write_layer(layer));
  return {{"input", std::vector<std::int64_t>(spec.input.begin(), spec.input.end())},
          {"layers", layers}};
}

ModelSpec read_model_with_input(const json& value, const std::string& path) {
  const JsonObject model(value, path, {"input", "layers"});
  model.at("input");
  return {Shape(std::span<const std::int64_t>(model.integers("input", 1))), read_layers(model)};
}

}  // namespace limbeck
