// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/semi_gaussian_laplace.h>

#include <algorithm>
#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/distill/distribution_kl.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/kernels/concat.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "semi_gaussian_laplace";

using Options = SemiGaussianLaplaceOptions;

class Additive : public FeatureLoss {
 public:
  Additive(const Shape& receiver, const Shape& source, const Options& options, DType dtype,
           Device device)
      : source_(source),
        options_(options),
        likelihood_(receiver, source,
                    {.kind = options.kind,
                     .adapter = options.adapter,
                     .seed = options.seed,
                     .mean = options.mean,
                     .variance = options.variance},
                    dtype, device),
        polynomial_(receiver, source, options.polynomial) {}

  Shape code_shape() const override { return source_; }
  Tensor encode(const Tensor& source) const override {
    check_tap(kOp, "source", source, source_);
    return source;
  }
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override {
    return add(scale(likelihood_.loss(receiver, likelihood_.encode(code), mean_over),
                     options_.likelihood_weight),
               scale(polynomial_.loss(receiver, polynomial_.encode(code), mean_over),
                     options_.polynomial_weight));
  }
  bool per_sample() const override { return false; }
  std::vector<NamedParameter> parameters() override { return likelihood_.parameters(); }
  std::string describe() const override {
    return likelihood_.describe() + " + " + polynomial_.describe();
  }

 private:
  Shape source_;
  Options options_;
  GaussianLaplace likelihood_;
  Polynomial polynomial_;
};

/// What the other two compositions share: rows of positions, standardised on the source's side.
class OfPositions : public FeatureLoss {
 public:
  OfPositions(const Shape& receiver, const Shape& source, const Options& options, DType dtype,
              Device device)
      : receiver_(receiver),
        source_(source),
        grid_(common_grid(receiver, source)),
        standardise_(kOp, options.mean, options.variance, tap_channels(source), dtype, device) {}

 protected:
  Tensor source_rows(const Tensor& source) const {
    check_tap(kOp, "source", source, source_);
    return standardise_(tap_rows(source, grid_));
  }
  Variable receiver_rows(const Variable& receiver, const Tensor& code, double mean_over) const {
    check_tap(kOp, "receiver", receiver.value(), receiver_);
    check_code(kOp, code, code_shape(), receiver.value());
    LIMBECK_CHECK(mean_over > 0, kOp, ": mean over ", mean_over, " samples; expected > 0");
    return tap_rows(receiver, grid_);
  }
  double rows_of(double samples) const { return samples * static_cast<double>(grid_.positions()); }
  std::int64_t channels() const { return tap_channels(source_); }

  Shape receiver_, source_;
  TapGrid grid_;
  Standardise standardise_;
};

enum Layer : std::uint32_t { kSource, kReceiver };  // tell the two sketches of one seed apart

TensorSketchPlan sketch_plan(std::int64_t C, std::int64_t K, double gamma, double constant,
                             std::uint64_t seed, Layer layer, Device device) {
  return tensor_sketch_plan(
      C, K, {.degree = 2, .gamma = gamma, .c = constant, .seed = seed, .layer = layer}, device);
}

class Stacked : public OfPositions {
 public:
  Stacked(const Shape& receiver, const Shape& source, const Options& options, DType dtype,
          Device device)
      : OfPositions(receiver, source, options, dtype, device),
        K_(options.K == 0 ? std::min<std::int64_t>(10 * channels(), 256) : options.K),
        kind_(options.kind) {
    const std::int64_t C = channels(), in = tap_channels(receiver);
    // The squared length of the sketch of a standardised row is (gamma C)^2, about: K.
    const double gamma = std::sqrt(static_cast<double>(K_)) / static_cast<double>(C);
    source_plan_ = sketch_plan(C, K_, gamma, 0, options.seed, kSource, device);
    receiver_plan_ =
        sketch_plan(in, K_, 1 / static_cast<double>(in), 1, options.seed, kReceiver, device);
    linear_ = {make_adapter(options.adapter, in, C, options.seed, dtype, device),
               initial_scales(Likelihood::gauss, C, dtype, device)};
    quadratic_ = {make_adapter(options.adapter, in + K_, K_, options.seed + 1, dtype, device),
                  initial_scales(kind_, K_, dtype, device)};
  }

  Shape code_shape() const override { return {grid_.positions(), channels() + K_}; }
  Tensor encode(const Tensor& source) const override {
    const Tensor rows = source_rows(source);
    Tensor products = Tensor::empty({rows.dim(0), K_}, rows.dtype(), rows.device());
    tensor_sketch_forward(products, rows, source_plan_);
    Tensor code = Tensor::empty({rows.dim(0), channels() + K_}, rows.dtype(), rows.device());
    concat(code, {rows, products}, -1);
    return code.reshape({source.dim(0), grid_.positions(), channels() + K_});
  }
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override {
    const Variable rows = receiver_rows(receiver, code, mean_over);
    const Variable products = concat({rows, tensor_sketch(rows, receiver_plan_)}, -1);
    const std::int64_t R = rows.shape()[0], C = channels();
    const Tensor flat = code.reshape({R, C + K_});
    Tensor features = Tensor::empty({R, C}, code.dtype(), code.device());
    Tensor sketch = Tensor::empty({R, K_}, code.dtype(), code.device());
    slice(features, flat, -1, 0);
    slice(sketch, flat, -1, C);
    return add(linear_.loss(rows, features, {Likelihood::gauss, rows_of(mean_over)}),
               quadratic_.loss(products, sketch, {kind_, rows_of(mean_over)}));
  }
  std::vector<NamedParameter> parameters() override {
    std::vector<NamedParameter> list = linear_.parameters("linear.");
    for (NamedParameter& p : quadratic_.parameters("quadratic.")) list.push_back(std::move(p));
    return list;
  }
  std::string describe() const override {
    return detail::concat("stack: gauss ", tap_channels(receiver_), " -> ", channels(), ", ",
                          likelihood_name(kind_), " of ", K_, " products");
  }

 private:
  struct Head {
    std::unique_ptr<Module> adapter;
    LikelihoodScales scales;

    Variable loss(const Variable& rows, const Tensor& t, const LikelihoodOptions& options) {
      Context context;
      return likelihood_loss(adapter->forward(rows, context), t, scales, options);
    }
    std::vector<NamedParameter> parameters(const std::string& prefix) {
      std::vector<NamedParameter> list = adapter_parameters(*adapter, prefix + "adapter");
      for (NamedParameter& p : scale_parameters(scales, prefix)) list.push_back(std::move(p));
      return list;
    }
  };

  std::int64_t K_;
  Likelihood kind_;
  TensorSketchPlan source_plan_, receiver_plan_;
  Head linear_, quadratic_;
};

class Distributed : public OfPositions {
 public:
  Distributed(const Shape& receiver, const Shape& source, const Options& options, DType dtype,
              Device device)
      : OfPositions(receiver, source, options, dtype, device),
        kind_(options.distribution),
        adapter_(make_adapter(options.adapter, tap_channels(receiver), 2 * channels(), options.seed,
                              dtype, device)) {
    LIMBECK_CHECK(options.source_scale > 0 && std::isfinite(options.source_scale), kOp,
                  ": source_scale is ", options.source_scale, "; expected > 0");
    const double log_scale = std::log(options.source_scale);
    log_scale_ = Tensor::full(
        {1}, kind_ == DistributionKl::laplace_laplace ? log_scale : 2 * log_scale, dtype, device);
  }

  Shape code_shape() const override { return {grid_.positions(), channels()}; }
  Tensor encode(const Tensor& source) const override {
    return source_rows(source).reshape({source.dim(0), grid_.positions(), channels()});
  }
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override {
    Context context;
    const Variable out = adapter_->forward(receiver_rows(receiver, code, mean_over), context);
    const std::vector<Variable> parts = split(out, {channels(), channels()}, -1);
    return distribution_kl({Variable(code.reshape(parts[0].shape())), Variable(log_scale_)},
                           {parts[0], parts[1]}, {.kind = kind_, .mean_over = rows_of(mean_over)});
  }
  std::vector<NamedParameter> parameters() override { return adapter_parameters(*adapter_); }
  std::string describe() const override {
    return detail::concat("dist: ", distribution_kl_name(kind_), " ", tap_channels(receiver_),
                          " -> ", channels());
  }

 private:
  DistributionKl kind_;
  std::unique_ptr<Module> adapter_;
  Tensor log_scale_;
};

std::unique_ptr<FeatureLoss> compose(const Shape& receiver, const Shape& source,
                                     const Options& options, DType dtype, Device device) {
  switch (options.compose) {
    case SemiCompose::additive:
      return std::make_unique<Additive>(receiver, source, options, dtype, device);
    case SemiCompose::stack:
      return std::make_unique<Stacked>(receiver, source, options, dtype, device);
    case SemiCompose::dist:
      return std::make_unique<Distributed>(receiver, source, options, dtype, device);
  }
  throw std::invalid_argument("semi_gaussian_laplace: no such composition");
}

}  // namespace

SemiGaussianLaplace::SemiGaussianLaplace(const Shape& receiver, const Shape& source,
                                         const SemiGaussianLaplaceOptions& options, DType dtype,
                                         Device device)
    : composed_(compose(receiver, source, options, dtype, device)) {}

}  // namespace limbeck
