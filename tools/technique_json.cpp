// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/technique_json.h>

#include <limbeck/distill/attention_transfer.h>
#include <limbeck/distill/channel_moments.h>
#include <limbeck/distill/compressed_sensing.h>
#include <limbeck/distill/hint.h>
#include <limbeck/distill/kernel_mmd.h>
#include <limbeck/distill/pkt.h>
#include <limbeck/distill/relational.h>
#include <limbeck/distill/semi_gaussian_laplace.h>
#include <limbeck/distill/tensor_sketch_code.h>

namespace limbeck {
namespace {

/// A loss with random streams of its own.
template <class Loss, class Options>
MakeFeatureLoss seeded(Options options) {
  return [options](const FeatureShapes& shapes) {
    Options own = options;
    own.seed = shapes.seed;
    if constexpr (requires { own.variance; }) {
      own.mean = shapes.mean;
      own.variance = shapes.variance;
    }
    return std::make_shared<Loss>(shapes.receiver, shapes.source, own, DType::f32, shapes.device);
  };
}

/// A loss without any.
template <class Loss, class... Options>
MakeFeatureLoss fixed(Options... options) {
  return [=](const FeatureShapes& shapes) {
    return std::make_shared<Loss>(shapes.receiver, shapes.source, options...);
  };
}

/// The choice at `key` among `values`, each with its name; the first by default.
template <class T>
T choose(const JsonObject& object, const char* key,
         const std::vector<std::pair<std::string_view, T>>& values) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : values) names.push_back(name);
  const std::string given = object.choice(key, names, std::string(names[0]));
  for (const auto& [name, value] : values)
    if (name == given) return value;
  return values[0].second;
}

AdapterKind read_adapter(const JsonObject& object) {
  return choose<AdapterKind>(object, "adapter",
                             {{"linear", AdapterKind::linear}, {"vid", AdapterKind::vid}});
}

Likelihood read_likelihood(const JsonObject& object) {
  return choose<Likelihood>(object, "kind",
                            {{"mixture", Likelihood::mixture},
                             {"gauss", Likelihood::gauss},
                             {"laplace", Likelihood::laplace}});
}

MakeFeatureLoss read_gaussian_laplace(const JsonObject& object) {
  GaussianLaplaceOptions options;
  options.kind = read_likelihood(object);
  options.adapter = read_adapter(object);
  return seeded<GaussianLaplace>(options);
}

MakeFeatureLoss read_mmd(const JsonObject& object) {
  KernelMmdLossOptions options;
  options.sigma_rbf = object.at_least_zero("sigma_rbf", options.sigma_rbf);
  options.sigma_laplace = object.at_least_zero("sigma_laplace", options.sigma_laplace);
  options.rbf_weight = object.at_least_zero("rbf_weight", options.rbf_weight);
  options.laplace_weight = object.at_least_zero("laplace_weight", options.laplace_weight);
  options.frequencies = object.integer("frequencies", 0, options.frequencies);
  options.every_position = object.flag("every_position", options.every_position);
  options.adapter = read_adapter(object);
  return seeded<KernelMmd>(options);
}

PolynomialOptions polynomial_options(const JsonObject& object) {
  PolynomialOptions options;
  options.similarity =
      choose<Similarity>(object, "similarity",
                         {{"congruence", Similarity::congruence},
                          {"similarity_preserving", Similarity::similarity_preserving}});
  options.gamma = object.number("gamma", options.gamma);
  options.degree = static_cast<int>(object.integer("degree", 1, options.degree));
  options.relative = object.flag("relative", options.relative);
  return options;
}

MakeFeatureLoss read_polynomial(const JsonObject& object) {
  return fixed<Polynomial>(polynomial_options(object));
}

MakeFeatureLoss read_tensor_sketch(const JsonObject& object) {
  TensorSketchCodeOptions options;
  options.degree = static_cast<int>(object.integer("degree", 1, options.degree));
  options.K = object.integer("K", 1, options.K);
  options.gamma = object.at_least_zero("gamma", options.gamma);
  options.constant = object.at_least_zero("constant", options.constant);
  options.adapter = read_adapter(object);
  return seeded<TensorSketchCode>(options);
}

MakeFeatureLoss read_compressed_sensing(const JsonObject& object) {
  using Kind = MeasurementKind;
  CompressedSensingOptions options;
  if (object.has("matrix"))
    options.matrix = choose<Kind>(object, "matrix",
                                  {{"rademacher", Kind::rademacher},
                                   {"gaussian", Kind::gaussian},
                                   {"achlioptas", Kind::achlioptas},
                                   {"count_sketch", Kind::count_sketch},
                                   {"srht", Kind::srht}});
  options.K = object.integer("K", 1, 0);
  options.adapter = read_adapter(object);
  return seeded<CompressedSensing>(options);
}

MakeFeatureLoss read_semi_gaussian_laplace(const JsonObject& object) {
  SemiGaussianLaplaceOptions options;
  options.compose = choose<SemiCompose>(object, "compose",
                                        {{"additive", SemiCompose::additive},
                                         {"stack", SemiCompose::stack},
                                         {"dist", SemiCompose::dist}});
  options.kind = read_likelihood(object);
  options.likelihood_weight = object.at_least_zero("likelihood_weight", options.likelihood_weight);
  options.polynomial_weight = object.at_least_zero("polynomial_weight", options.polynomial_weight);
  options.polynomial = polynomial_options(object);
  options.K = object.integer("K", 1, options.K);
  options.distribution =
      choose<DistributionKl>(object, "distribution",
                             {{"gauss_gauss", DistributionKl::gauss_gauss},
                              {"laplace_laplace", DistributionKl::laplace_laplace},
                              {"gauss_laplace", DistributionKl::gauss_laplace}});
  options.source_scale = object.number("source_scale", options.source_scale);
  options.adapter = read_adapter(object);
  return seeded<SemiGaussianLaplace>(options);
}

MakeFeatureLoss read_hint(const JsonObject& object) {
  HintOptions options;
  options.adapter = read_adapter(object);
  return seeded<Hint>(options);
}

MakeFeatureLoss read_feature_mse(const JsonObject&) {
  HintOptions options;
  options.adapter.reset();
  return seeded<Hint>(options);
}

MakeFeatureLoss read_relational(const JsonObject& object) {
  RelationalOptions options;
  options.distance_weight = object.at_least_zero("distance_weight", options.distance_weight);
  options.angle_weight = object.at_least_zero("angle_weight", options.angle_weight);
  return fixed<Relational>(options);
}

}  // namespace

const std::vector<Technique>& techniques() {
  static const std::vector<Technique> list = {
      {"gaussian_laplace", {"kind", "adapter"}, read_gaussian_laplace, true},
      {"mmd",
       {"sigma_rbf", "sigma_laplace", "rbf_weight", "laplace_weight", "frequencies",
        "every_position", "adapter"},
       read_mmd,
       true},
      {"polynomial", {"similarity", "gamma", "degree", "relative"}, read_polynomial, false},
      {"channel_moments", {}, [](const JsonObject&) { return fixed<ChannelMoments>(); }, false},
      {"tensor_sketch", {"degree", "K", "gamma", "constant", "adapter"}, read_tensor_sketch, true},
      {"compressed_sensing", {"matrix", "K", "adapter"}, read_compressed_sensing, true},
      {"semi_gaussian_laplace",
       {"compose", "kind", "likelihood_weight", "polynomial_weight", "similarity", "gamma",
        "degree", "relative", "K", "distribution", "source_scale", "adapter"},
       read_semi_gaussian_laplace,
       true},
      {"hint", {"adapter"}, read_hint, true},
      {"feature_mse", {}, read_feature_mse, false},
      {"attention_transfer",
       {},
       [](const JsonObject&) { return fixed<AttentionTransfer>(); },
       false},
      {"relational", {"distance_weight", "angle_weight"}, read_relational, false},
      {"pkt", {}, [](const JsonObject&) { return fixed<Pkt>(); }, false},
  };
  return list;
}

}  // namespace limbeck
