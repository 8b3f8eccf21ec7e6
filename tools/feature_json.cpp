// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/feature_json.h>

#include <limbeck/distill/compressed_sensing.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

AdapterKind read_adapter(const JsonObject& object) {
  return object.choice("adapter", {"linear", "vid"}, "linear") == "vid" ? AdapterKind::vid
                                                                        : AdapterKind::linear;
}

MakeFeatureLoss read_compressed_sensing(const JsonObject& object) {
  CompressedSensingOptions options;
  if (object.has("matrix")) {
    const std::string name = object.choice(
        "matrix", {"rademacher", "gaussian", "achlioptas", "count_sketch", "srht"});
    for (const auto kind :
         {MeasurementKind::rademacher, MeasurementKind::gaussian, MeasurementKind::achlioptas,
          MeasurementKind::count_sketch, MeasurementKind::srht})
      if (measurement_name(kind) == name) options.matrix = kind;
  }
  options.K = object.integer("K", 1, 0);
  options.adapter = read_adapter(object);
  return [options](const FeatureShapes& shapes) {
    CompressedSensingOptions own = options;
    own.seed = shapes.seed;
    return std::make_shared<CompressedSensing>(shapes.receiver, shapes.source, own, DType::f32,
                                               shapes.device);
  };
}

/// A technique: its name, the keys of its options, and what reads them.
struct Technique {
  std::string_view name;
  std::vector<std::string_view> keys;
  MakeFeatureLoss (*read)(const JsonObject&);
  bool standardise;  ///< by default
};

const std::vector<Technique>& techniques() {
  static const std::vector<Technique> list = {
      {"compressed_sensing", {"matrix", "K", "adapter"}, read_compressed_sensing, true},
  };
  return list;
}

const Technique& find_technique(const json& value, const std::string& path) {
  std::vector<std::string_view> names;
  for (const Technique& technique : techniques()) names.push_back(technique.name);
  LIMBECK_CHECK(value.is_object() && value.contains("technique") && value["technique"].is_string(),
                path, ".technique: is missing; it has no default");
  const std::string given = value["technique"].get<std::string>();
  for (const Technique& technique : techniques())
    if (technique.name == given) return technique;
  throw std::invalid_argument(detail::concat(path, ".technique: unknown technique \"", given,
                                             "\"; did you mean \"", nearest_word(given, names),
                                             "\"?"));
}

}  // namespace

FeatureConfig read_feature(const json& value, const std::string& path) {
  const Technique& technique = find_technique(value, path);
  std::vector<std::string_view> keys = {"technique", "student", "teacher", "weight",
                                        "standardise"};
  keys.insert(keys.end(), technique.keys.begin(), technique.keys.end());
  const JsonObject object(value, path, keys);
  FeatureConfig feature;
  feature.technique = technique.name;
  feature.student = object.text("student");
  feature.teacher = object.text("teacher");
  feature.weight = object.at_least_zero("weight");
  feature.standardise = object.flag("standardise", technique.standardise);
  feature.make = technique.read(object);
  return feature;
}

}  // namespace limbeck
