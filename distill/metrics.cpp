// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/metrics.h>

#include <cmath>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/distill/logit_rows.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

/// m-1 for ((m-1)/15, m/15].
std::size_t bin_of(double confidence) {
  const double m = std::ceil(confidence * kEceBins);
  return static_cast<std::size_t>(std::fmin(std::fmax(m, 1.0), double{kEceBins})) - 1;
}

/// Sum over classes of (p_c - [c is the label])^2.
double brier_of_row(const double* z, std::int64_t V, double lse, std::int32_t label) {
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) {
    const double gap = std::exp(z[v] - lse) - (v == label ? 1 : 0);
    sum += gap * gap;
  }
  return sum;
}

}  // namespace

void MetricsMeter::add(const Tensor& logits, const Tensor& labels) {
  check_logits("measure", logits, labels);
  const std::int64_t N = logits.dim(0), V = logits.dim(1);
  const std::vector<std::int32_t> y = checked_labels("measure", labels, V);
  const LogitRows rows(logits);
  for (std::int64_t i = 0; i < N; ++i) {
    const double* z = rows[i];
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    const std::int64_t guess = argmax_of_row(z, V);
    const double lse = log_sum_exp(z, V);
    const double confidence = guess < 0 ? std::nan("") : std::exp(z[guess] - lse);
    Bin& bin = bins_[bin_of(confidence)];
    ++bin.samples;
    bin.confidence += confidence;
    bin.correct += guess == label;
    errors_ += guess != label;
    nll_ += lse - z[label];
    brier_ += brier_of_row(z, V, lse, label);
    ++samples_;
  }
}

Metrics MetricsMeter::result() const {
  LIMBECK_CHECK(samples_ > 0, "measure: no label counts; expected at least one");
  const double n = static_cast<double>(samples_);
  double gap = 0;
  for (const Bin& bin : bins_) gap += std::abs(static_cast<double>(bin.correct) - bin.confidence);
  return {samples_, errors_, 1.0 - static_cast<double>(errors_) / n, nll_ / n, gap / n};
}

Calibration MetricsMeter::calibration() const {
  LIMBECK_CHECK(samples_ > 0, "measure: no label counts; expected at least one");
  Calibration calibration;
  for (std::size_t b = 0; b < bins_.size(); ++b) {
    const Bin& bin = bins_[b];
    if (bin.samples == 0) continue;
    const auto n = static_cast<double>(bin.samples);
    calibration.bins[b] = {bin.samples, bin.confidence / n, static_cast<double>(bin.correct) / n};
  }
  calibration.brier = brier_ / static_cast<double>(samples_);
  return calibration;
}

Metrics measure(const Tensor& logits, const Tensor& labels) {
  MetricsMeter meter;
  meter.add(logits, labels);
  return meter.result();
}

void FidelityMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  check_logits("measure_fidelity", student, teacher, labels);
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const std::vector<std::int32_t> y = checked_labels("measure_fidelity", labels, V);
  const LogitRows zs(student), zt(teacher);
  for (std::int64_t i = 0; i < N; ++i) {
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    const std::int64_t s = argmax_of_row(zs[i], V), t = argmax_of_row(zt[i], V);
    equal_ += s == t && s >= 0;
    student_right_ += s == label;
    teacher_right_ += t == label;
    forward_kl_ += kl_of_rows(zt[i], zs[i], V);
    reverse_kl_ += kl_of_rows(zs[i], zt[i], V);
    ++samples_;
  }
}

Fidelity FidelityMeter::result() const {
  LIMBECK_CHECK(samples_ > 0, "measure_fidelity: no label counts; expected at least one");
  const double n = static_cast<double>(samples_);
  return {static_cast<double>(equal_) / n,
          static_cast<double>(student_right_) / n * (static_cast<double>(teacher_right_) / n),
          forward_kl_ / n, reverse_kl_ / n};
}

Fidelity measure_fidelity(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  FidelityMeter meter;
  meter.add(student, teacher, labels);
  return meter.result();
}

}  // namespace limbeck
