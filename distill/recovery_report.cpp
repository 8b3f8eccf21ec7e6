// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/recovery_report.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <limbeck/core/error.h>
#include <limbeck/kernels/argmax.h>

namespace limbeck {
namespace {

double decibels(double signal, double error) {
  if (error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / error);
}

Tensor recover(const Tensor& codes, const Tensor& phi, std::int64_t sparsity,
               const RecoveryOptions& options) {
  if (options.relative_lambda > 0)
    return fista(phi, codes, {options.relative_lambda, options.iterations});
  return omp(phi, codes, {.sparsity = sparsity});
}

/// Sums over samples.
struct Sums {
  double signal = 0, error = 0, tail = 0;
  std::int64_t nonzeros = 0, truly = 0, found = 0, common = 0;

  void add(const double* t, const double* x, std::int64_t D, std::int64_t s) {
    const std::vector<std::int64_t> kept = largest_elements(t, D, s);
    const std::vector<std::int64_t> seen = largest_elements(x, D, s);
    std::vector<std::int64_t> both;
    std::set_intersection(kept.begin(), kept.end(), seen.begin(), seen.end(),
                          std::back_inserter(both));
    truly += std::ssize(kept);
    found += std::ssize(seen);
    common += std::ssize(both);
    for (std::int64_t d = 0; d < D; ++d) {
      signal += t[d] * t[d];
      error += (t[d] - x[d]) * (t[d] - x[d]);
      nonzeros += t[d] != 0;
      if (!std::binary_search(kept.begin(), kept.end(), d)) tail += t[d] * t[d];
    }
  }
};

Tensor guesses(const FeatureHead& head, const Tensor& features) {
  const Tensor logits = head(features).to(Device::cpu());
  Tensor index = Tensor::empty({logits.dim(0)}, DType::i32);
  argmax_rows(index, logits);
  return index;
}

double agreement_of(const FeatureHead& head, const Tensor& features, const Tensor& recovered) {
  Tensor count = Tensor::empty({1}, DType::i64);
  count_equal(count, guesses(head, features), guesses(head, recovered.to(features.dtype())));
  return static_cast<double>(count.to_vector<std::int64_t>()[0]) /
         static_cast<double>(features.dim(0));
}

}  // namespace

std::int64_t default_sparsity(std::int64_t K, std::int64_t D) {
  const double rows_each = 2 * std::log(static_cast<double>(std::max<std::int64_t>(D, 3)));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(K) / rows_each));
}

std::vector<std::int64_t> largest_elements(const double* x, std::int64_t D, std::int64_t s) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(D));
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min(s, D);
  std::partial_sort(order.begin(), end, order.end(), [x](std::int64_t a, std::int64_t b) {
    const double p = std::abs(x[a]), q = std::abs(x[b]);
    return p > q || (p == q && a < b);
  });
  order.erase(end, order.end());
  std::erase_if(order, [x](std::int64_t d) { return x[d] == 0; });
  std::sort(order.begin(), order.end());
  return order;
}

RecoveryReport recovery_report(const Tensor& codes, const Tensor& phi, const Tensor& features,
                               const RecoveryOptions& options, const FeatureHead& head) {
  LIMBECK_CHECK(phi.defined() && phi.rank() == 2, "recovery_report: phi has shape ",
                phi.defined() ? phi.shape() : Shape{}, "; expected (K,D)");
  const std::int64_t K = phi.dim(0), D = phi.dim(1);
  LIMBECK_CHECK(features.defined() && features.rank() == 2 && features.dim(0) >= 1 &&
                    features.dim(1) == D && is_floating(features.dtype()),
                "recovery_report: features have shape ",
                features.defined() ? features.shape() : Shape{}, ", phi ", phi.shape(),
                "; expected floating (N,", D, ") with N >= 1");
  const std::int64_t N = features.dim(0);
  LIMBECK_CHECK(codes.defined() && codes.shape() == (Shape{N, K}),
                "recovery_report: codes have shape ", codes.defined() ? codes.shape() : Shape{},
                ", features ", features.shape(), "; expected (", N, ",", K, ")");
  RecoveryReport report;
  report.samples = N;
  report.sparsity = options.sparsity > 0 ? options.sparsity : default_sparsity(K, D);
  const Tensor truth = features.to(Device::cpu());
  const Tensor t = truth.to(DType::f64), x = recover(codes, phi, report.sparsity, options);
  Sums sums;
  for (std::int64_t n = 0; n < N; ++n)
    sums.add(t.data<double>() + n * D, x.data<double>() + n * D, D, report.sparsity);
  report.nonzeros = static_cast<double>(sums.nonzeros) / static_cast<double>(N * D);
  report.snr_db = decibels(sums.signal, sums.error);
  report.best_snr_db = decibels(sums.signal, sums.tail);
  if (const std::int64_t both = sums.truly + sums.found; both > 0)
    report.support_f1 = 2 * static_cast<double>(sums.common) / static_cast<double>(both);
  if (head) report.agreement = agreement_of(head, truth, x);
  return report;
}

}  // namespace limbeck
