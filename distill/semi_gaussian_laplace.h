// SPDX-License-Identifier: Apache-2.0
// Semi Gaussian-Laplace distillation: the distribution of the source's features and their products.
#pragma once

#include <memory>
#include <string>

#include <limbeck/distill/gaussian_laplace.h>
#include <limbeck/distill/polynomial.h>
#include <limbeck/kernels/distribution_kl.h>

namespace limbeck {

/// additive: likelihood_weight GaussianLaplace + polynomial_weight Polynomial, added in this order.
/// stack: heads on the features, which are near a Gaussian where they are sums of many, and on a
/// tensor sketch of degree 2 of them, whose numbers are sums of n products: for independent
/// standard normals x1 x2 + x3 x4 has Laplace's distribution, and n products an excess kurtosis of
/// 6/n (variance-gamma). So the first head is a Gaussian and the second one has Laplace tails.
/// dist: the receiver predicts mean and log scale of every sample, compared with a distribution
/// around the source's feature in closed form.
enum class SemiCompose { additive, stack, dist };

struct SemiGaussianLaplaceOptions {
  SemiCompose compose = SemiCompose::additive;
  Likelihood kind = Likelihood::mixture;  ///< additive: the head; stack: that of the products
  double likelihood_weight = 1, polynomial_weight = 1;  ///< additive
  PolynomialOptions polynomial = {};                    ///< additive
  std::int64_t K = 0;  ///< stack: numbers of the sketch; 0: 10 per channel of the source, <= 256
  DistributionKl distribution = DistributionKl::gauss_gauss;  ///< dist: KL(source || receiver)
  double source_scale = 0.1;  ///< dist: sigma or b around every feature, > 0
  AdapterKind adapter = AdapterKind::linear;
  std::uint64_t seed = 0;  ///< of adapters and sketches; another one for each tap
  /// Of the source's channels, (C) each, both or neither, read at every call: features are
  /// (t - mean) / sqrt(variance + 1e-5), or t. (Polynomial sees the tap as it is.)
  Tensor mean = {}, variance = {};
};

/// One direction; two models that teach each other have one object each, and no parameter in
/// common. Codes and parameters:
///   additive  the source's tap; GaussianLaplace's. Compares whole batches.
///   stack     [t ; TS(t)] of every position, TS (K) of coordinates of variance 1, about;
///             "linear.*" and "quadratic.*", each as GaussianLaplace's. mu of the products is made
///             of [s ; TS'(s)], with a sketch of the receiver's own. The two means are added.
///   dist      t of every position; "adapter.*", to 2C outputs, means first. Nothing of the source
///             is trained: its scale is an option.
class SemiGaussianLaplace : public FeatureLoss {
 public:
  /// Of taps of one sample: (C), (T,C) or (H,W,C).
  SemiGaussianLaplace(const Shape& receiver, const Shape& source,
                      const SemiGaussianLaplaceOptions& options = {}, DType dtype = DType::f32,
                      Device device = Device::cpu());

  Shape code_shape() const override { return composed_->code_shape(); }
  Tensor encode(const Tensor& source) const override { return composed_->encode(source); }
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override {
    return composed_->loss(receiver, code, mean_over);
  }
  bool per_sample() const override { return composed_->per_sample(); }
  std::vector<NamedParameter> parameters() override { return composed_->parameters(); }
  std::string describe() const override {
    return "semi_gaussian_laplace(" + composed_->describe() + ")";
  }

 private:
  std::unique_ptr<FeatureLoss> composed_;
};

}  // namespace limbeck
