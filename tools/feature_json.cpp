// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/feature_json.h>

#include <limbeck/distill/channel_moments.h>
#include <limbeck/distill/compressed_sensing.h>
#include <limbeck/distill/gaussian_laplace.h>
#include <limbeck/distill/polynomial.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

AdapterKind read_adapter(const JsonObject& object) {
  return object.choice("adapter", {"linear", "vid"}, "linear") == "vid" ? AdapterKind::vid
                                                                        : AdapterKind::linear;
}

Likelihood read_likelihood(const JsonObject& object) {
  const std::string kind = object.choice("kind", {"gauss", "laplace", "mixture"}, "mixture");
  return kind == "gauss"     ? Likelihood::gauss
         : kind == "laplace" ? Likelihood::laplace
                             : Likelihood::mixture;
}

MakeFeatureLoss read_gaussian_laplace(const JsonObject& object) {
  GaussianLaplaceOptions options;
  options.kind = read_likelihood(object);
  options.adapter = read_adapter(object);
  return [options](const FeatureShapes& shapes) {
    GaussianLaplaceOptions own = options;
    own.seed = shapes.seed;
    return std::make_shared<GaussianLaplace>(shapes.receiver, shapes.source, own, DType::f32,
                                             shapes.device);
  };
}

MakeFeatureLoss read_polynomial(const JsonObject& object) {
  PolynomialOptions options;
  if (object.choice("similarity", {"congruence", "similarity_preserving"}, "congruence") ==
      "similarity_preserving")
    options.similarity = Similarity::similarity_preserving;
  options.gamma = object.number("gamma", options.gamma);
  options.degree = static_cast<int>(object.integer("degree", 1, options.degree));
  options.relative = object.flag("relative", options.relative);
  return [options](const FeatureShapes& shapes) {
    return std::make_shared<Polynomial>(shapes.receiver, shapes.source, options);
  };
}

MakeFeatureLoss read_channel_moments(const JsonObject&) {
  return [](const FeatureShapes& shapes) {
    return std::make_shared<ChannelMoments>(shapes.receiver, shapes.source);
  };
}

MakeFeatureLoss read_compressed_sensing(const JsonObject& object) {
  CompressedSensingOptions options;
  if (object.has("matrix")) {
    const std::string name =
        object.choice("matrix", {"rademacher", "gaussian", "achlioptas", "count_sketch", "srht"});
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
      {"gaussian_laplace", {"kind", "adapter"}, read_gaussian_laplace, true},
      {"polynomial", {"similarity", "gamma", "degree", "relative"}, read_polynomial, false},
      {"channel_moments", {}, read_channel_moments, false},
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
