// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/kl_quantiles.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <limbeck/core/error.h>
#include <limbeck/distill/logit_rows.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return sorted[below] + part * (sorted[above] - sorted[below]);
}

}  // namespace

Quantiles quantiles_of(std::vector<double> values) {
  LIMBECK_CHECK(!values.empty(), "quantiles_of: no values; expected at least one");
  if (std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); })) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, nan, nan, nan};
  }
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.05), quantile(values, 0.25), quantile(values, 0.5),
          quantile(values, 0.75), quantile(values, 0.95), values.back()};
}

void KlMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  check_logits("kl_quantiles", student, teacher, labels);
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const std::vector<std::int32_t> y = checked_labels("kl_quantiles", labels, V);
  const LogitRows zs(student), zt(teacher);
  for (std::int64_t i = 0; i < N; ++i) {
    if (y[static_cast<std::size_t>(i)] == kIgnoreIndex) continue;
    forward_.push_back(kl_of_rows(zt[i], zs[i], V));
    reverse_.push_back(kl_of_rows(zs[i], zt[i], V));
  }
}

KlQuantiles KlMeter::result() const {
  LIMBECK_CHECK(!forward_.empty(), "kl_quantiles: no label counts; expected at least one");
  return {quantiles_of(forward_), quantiles_of(reverse_)};
}

}  // namespace limbeck
