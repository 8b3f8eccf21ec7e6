// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/loaded_model.h>

#include <limbeck/nn/weights.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/name_map_json.h>
#include <limbeck/tools/preprocess_json.h>

namespace limbeck {

using nlohmann::json;

namespace {

ModelSpec own_spec(const SafetensorsFile& file, const std::string& weights) {
  const auto found = file.metadata.find("model");
  LIMBECK_CHECK(found != file.metadata.end(), weights,
                ": does not say what model it is of; name a model file with --model");
  return read_model_with_input(parse_json(found->second, weights), weights + ": model");
}

ModelSpec spec_of(const SafetensorsFile& file, const ModelFiles& files, const Shape& input) {
  if (!files.model.empty()) return read_model(read_json_file(files.model), "", input);
  ModelSpec spec = own_spec(file, files.weights);
  const bool text = input.rank() == 1;
  LIMBECK_CHECK(text ? spec.input.rank() == 1 : spec.input == input, files.weights,
                ": is of a model of ", spec.input, spec.input.rank() == 1 ? " tokens" : " images",
                "; the data has ", input);
  spec.input = input;
  return spec;
}

}  // namespace

LoadedModel load_model(const ModelFiles& files, const Shape& input, Device device) {
  const SafetensorsFile file = read_safetensors(files.weights);
  LoadedModel model;
  model.module = build_model(spec_of(file, files, input), 0, DType::f32, device);
  load_weights(*model.module, files.weights, {read_name_map_file(files.names)});
  if (const auto found = file.metadata.find("preprocess"); found != file.metadata.end()) {
    const json value = parse_json(found->second, files.weights);
    const JsonObject preprocess(value, files.weights + ": preprocess",
                                {"scale", "shift", "mean", "std"});
    model.input = read_preprocess(preprocess);
  }
  return model;
}

std::int64_t trained_context(const std::string& weights) {
  const SafetensorsFile file = read_safetensors(weights);
  if (!file.metadata.contains("model")) return 0;
  const Shape input = own_spec(file, weights).input;
  return input.rank() == 1 ? input[0] : 0;
}

}  // namespace limbeck
