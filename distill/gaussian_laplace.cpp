// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/gaussian_laplace.h>

#include <cmath>

#include <limbeck/distill/feature_checks.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "gaussian_laplace";

/// The rho with softplus(rho) + kScaleFloor = scale.
double rho_of(double scale) { return std::log(std::expm1(scale - kScaleFloor)); }

}  // namespace

LikelihoodScales initial_scales(Likelihood kind, std::int64_t C, DType dtype, Device device) {
  const auto filled = [&](double value) {
    return Variable(Tensor::full({C}, value, dtype, device), true);
  };
  LikelihoodScales scales;
  if (kind != Likelihood::laplace) scales.rho_v = filled(rho_of(1));
  if (kind != Likelihood::gauss) scales.rho_b = filled(rho_of(std::sqrt(0.5)));
  if (kind == Likelihood::mixture) scales.kappa = filled(0);
  return scales;
}

std::vector<NamedParameter> scale_parameters(const LikelihoodScales& scales,
                                             const std::string& prefix) {
  std::vector<NamedParameter> list;
  const auto add = [&](const char* name, const Variable& value) {
    if (value.defined()) list.push_back({.name = prefix + name, .value = value, .decay = false});
  };
  add("scale_v", scales.rho_v);
  add("scale_b", scales.rho_b);
  add("kappa", scales.kappa);
  return list;
}

GaussianLaplace::GaussianLaplace(const Shape& receiver, const Shape& source,
                                 const GaussianLaplaceOptions& options, DType dtype, Device device)
    : receiver_(receiver),
      source_(source),
      grid_(common_grid(receiver, source)),
      options_(options),
      standardise_(kOp, options.mean, options.variance, tap_channels(source), dtype, device),
      adapter_(make_adapter(options.adapter, tap_channels(receiver), tap_channels(source),
                            options.seed, dtype, device)),
      scales_(initial_scales(options.kind, tap_channels(source), dtype, device)) {}

Shape GaussianLaplace::code_shape() const { return {grid_.positions(), tap_channels(source_)}; }

Tensor GaussianLaplace::encode(const Tensor& source) const {
  check_tap(kOp, "source", source, source_);
  return standardise_(tap_rows(source, grid_))
      .reshape({source.dim(0), grid_.positions(), tap_channels(source_)});
}

Variable GaussianLaplace::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap(kOp, "receiver", receiver.value(), receiver_);
  check_code(kOp, code, code_shape(), receiver.value());
  LIMBECK_CHECK(mean_over > 0, kOp, ": mean over ", mean_over, " samples; expected > 0");
  Context context;
  const Variable mu = adapter_->forward(tap_rows(receiver, grid_), context);
  return likelihood_loss(
      mu, code.reshape(mu.shape()), scales_,
      {.kind = options_.kind, .mean_over = mean_over * static_cast<double>(grid_.positions())});
}

std::vector<NamedParameter> GaussianLaplace::parameters() {
  std::vector<NamedParameter> list = adapter_parameters(*adapter_);
  for (NamedParameter& p : scale_parameters(scales_)) list.push_back(std::move(p));
  return list;
}

std::string GaussianLaplace::describe() const {
  return detail::concat("gaussian_laplace(", likelihood_name(options_.kind), " ",
                        tap_channels(receiver_), " -> ", tap_channels(source_), ")");
}

std::vector<ChannelEntry> GaussianLaplace::ledger(const Tensor& codes) const {
  const std::int64_t C = tap_channels(source_);
  return channel_ledger(codes.reshape({codes.numel() / C, C}), scales_.values());
}

}  // namespace limbeck
