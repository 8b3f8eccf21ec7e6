// SPDX-License-Identifier: Apache-2.0
// Model specifications to and from JSON.
#include <limbeck/tools/model_json.h>

#include <limbeck/nn/layer_types.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_template.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// The type a layer names, or the nearest one in a complaint.
const LayerType& type_of(const json& value, const std::string& path) {
  std::vector<std::string_view> keys = {"type", "name", "from"}, types;
  for (const LayerType& type : layer_types()) {
    types.push_back(type.name);
    for (const LayerKey& key : type.keys) keys.push_back(key.name);
  }
  const JsonObject any(value, path, keys);
  const std::string name = any.text("type");
  const LayerType* type = find_layer_type(name);
  LIMBECK_CHECK(type, any.path("type"), ": unknown layer \"", name, "\"; did you mean \"",
                nearest_word(name, types), "\"?");
  return *type;
}

LayerOption read_option(const JsonObject& layer, const LayerKey& key) {
  const std::string name(key.name);
  switch (key.kind) {
    case KeyKind::flag:
      return layer.flag(name.c_str());
    case KeyKind::natural:
      return layer.integer(name.c_str(), 0);
    case KeyKind::positive:
      return layer.integer(name.c_str(), 1);
    case KeyKind::number:
      return layer.number(name.c_str());
    case KeyKind::text:
      break;
  }
  return layer.text(name.c_str());
}

LayerSpec read_layer(const json& value, const std::string& path) {
  const LayerType& type = type_of(value, path);
  std::vector<std::string_view> keys = {"type", "name", "from"};
  for (const LayerKey& key : type.keys) keys.push_back(key.name);
  const JsonObject layer(value, path, keys);
  LayerSpec spec;
  spec.type = type.name;
  spec.name = layer.text("name", "");
  for (const LayerKey& key : type.keys)
    if (key.required || layer.has(std::string(key.name).c_str()))
      spec.options.set(std::string(key.name), read_option(layer, key));
  if (layer.has("from")) spec.from = layer.at("from").get<std::vector<std::string>>();
  return spec;
}

json write_layer(const LayerSpec& spec) {
  json layer = {{"type", spec.type}};
  if (!spec.name.empty()) layer["name"] = spec.name;
  if (spec.from.size() == 1) layer["from"] = spec.from[0];
  if (spec.from.size() > 1) layer["from"] = spec.from;
  const LayerOptions options = options_of(spec);
  for (const auto& [key, value] : options.values())
    std::visit([&layer, &name = key](const auto& v) { layer[name] = v; }, value);
  return layer;
}

Variables read_variables(const JsonObject& model) {
  Variables variables;
  if (!model.has("variables")) return variables;
  const json& values = model.at("variables");
  const std::string path = model.path("variables");
  LIMBECK_CHECK(values.is_object(), path, ": is ", values.type_name(), "; expected an object");
  for (const auto& [name, value] : values.items()) {
    LIMBECK_CHECK(value.is_number_integer(), path, ".", name, ": is ", value.dump(),
                  "; expected an integer");
    variables[name] = value.get<std::int64_t>();
  }
  return variables;
}

void read_layers(ModelSpec& spec, const JsonObject& model) {
  int group = 0;
  for (const ExpandedLayer& layer :
       expand_layers(model.at("layers"), model.path("layers"), read_variables(model))) {
    if (layer.recompute > 0 && layer.recompute != group)
      spec.recompute.emplace_back(spec.layers.size(), 0);
    spec.layers.push_back(read_layer(layer.value, layer.path));
    if (layer.recompute > 0) spec.recompute.back().second = spec.layers.size();
    group = layer.recompute;
  }
  LIMBECK_CHECK(!spec.layers.empty(), model.path("layers"),
                ": is empty; expected at least one layer");
}

/// The input a model says it has; empty when it does not say.
Shape read_input(const JsonObject& model) {
  if (!model.has("input")) return {};
  const json value = {{"input", substitute(model.at("input"), read_variables(model))}};
  std::string path = model.path("input");
  path.resize(path.size() - std::string_view("input").size());
  if (!path.empty()) path.pop_back();
  return Shape(
      std::span<const std::int64_t>(JsonObject(value, path, {"input"}).integers("input", 1)));
}

const std::vector<std::string_view> kModelKeys = {"input", "variables", "layers"};

}  // namespace

ModelSpec read_model(const json& value, const std::string& path, const Shape& input) {
  const JsonObject model(value, path, kModelKeys);
  const Shape own = read_input(model);
  LIMBECK_CHECK(own.rank() == 0 || input.rank() == 0 || own == input, model.path("input"), ": is ",
                own, "; the data has ", input);
  ModelSpec spec = {input.rank() == 0 ? own : input, {}};
  read_layers(spec, model);
  return spec;
}

json write_model(const ModelSpec& spec) {
  json layers = json::array();
  auto group = spec.recompute.begin();
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    if (group != spec.recompute.end() && i == group->second) ++group;
    const bool inside = group != spec.recompute.end() && group->first <= i;
    if (inside && i == group->first)
      layers.push_back({{"recompute", true}, {"layers", json::array()}});
    (inside ? layers.back()["layers"] : layers).push_back(write_layer(spec.layers[i]));
  }
  return {{"input", std::vector<std::int64_t>(spec.input.begin(), spec.input.end())},
          {"layers", layers}};
}

ModelSpec read_model_with_input(const json& value, const std::string& path) {
  const JsonObject model(value, path, kModelKeys);
  model.at("input");
  return read_model(value, path, {});
}

}  // namespace limbeck
