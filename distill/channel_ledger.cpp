// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/channel_ledger.h>

#include <algorithm>
#include <cmath>

#include <limbeck/kernels/likelihood_functions.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {
namespace {

std::vector<double> host(const Tensor& t) {
  return t.to(Device::cpu()).to(DType::f64).to_vector<double>();
}

double variance(const std::vector<double>& x) {
  const auto n = static_cast<double>(x.size());
  double mean = 0, squares = 0;
  for (const double v : x) mean += v / n;
  for (const double v : x) squares += (v - mean) * (v - mean);
  return squares / n;
}

double mean_deviation(std::vector<double> x) {
  const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  const double median = *middle;
  double sum = 0;
  for (const double v : x) sum += std::abs(v - median);
  return sum / static_cast<double>(x.size());
}

}  // namespace

std::vector<ChannelEntry> channel_ledger(const Tensor& t, const LikelihoodParameters& parameters) {
  check_rows("channel_ledger", "t", t);
  LIMBECK_CHECK(t.dim(0) >= 1, "channel_ledger: t has shape ", t.shape(), "; expected a row");
  const auto C = static_cast<std::size_t>(t.dim(1));
  const auto of = [&](const char* name, const Tensor& parameter) {
    if (!parameter.defined()) return std::vector<double>();
    LIMBECK_CHECK(parameter.shape() == Shape{t.dim(1)}, "channel_ledger: ", name, " has shape ",
                  parameter.shape(), ", t ", t.shape(), "; expected (", C, ")");
    return host(parameter);
  };
  const auto rho_v = of("rho_v", parameters.rho_v), rho_b = of("rho_b", parameters.rho_b);
  const auto kappa = of("kappa", parameters.kappa), values = host(t);
  std::vector<ChannelEntry> ledger(C);
  std::vector<double> channel(values.size() / C);
  for (std::size_t c = 0; c < C; ++c) {
    for (std::size_t r = 0; r < channel.size(); ++r) channel[r] = values[r * C + c];
    ChannelEntry& entry = ledger[c];
    if (!rho_v.empty())
      entry.gauss_nats = 0.5 * std::log(variance(channel) / (softplus(rho_v[c]) + kScaleFloor));
    if (!rho_b.empty())
      entry.laplace_nats = std::log(mean_deviation(channel) / (softplus(rho_b[c]) + kScaleFloor));
    entry.gauss_share = !kappa.empty() ? sigmoid(kappa[c]) : rho_v.empty() ? 0 : 1;
  }
  return ledger;
}

}  // namespace limbeck
