// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/feature_json.h>

#include <limbeck/tools/json_object.h>
#include <limbeck/tools/technique_json.h>

namespace limbeck {

using nlohmann::json;

namespace {

const Technique& find_technique(const json& value, const std::string& path) {
  LIMBECK_CHECK(value.is_object() && value.contains("technique") && value["technique"].is_string(),
                path, ".technique: is missing; it has no default");
  const std::string given = value["technique"].get<std::string>();
  std::vector<std::string_view> names;
  for (const Technique& technique : techniques()) {
    if (technique.name == given) return technique;
    names.push_back(technique.name);
  }
  throw std::invalid_argument(detail::concat(path, ".technique: unknown technique \"", given,
                                             "\"; did you mean \"", nearest_word(given, names),
                                             "\"?"));
}

}  // namespace

FeatureConfig read_feature(const json& value, const std::string& path) {
  const Technique& technique = find_technique(value, path);
  std::vector<std::string_view> keys = {"technique", "student", "teacher", "weight", "standardise"};
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
