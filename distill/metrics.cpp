// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/metrics.h>

#include <cmath>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

/// Logits as doubles on the host, one row at a time.
class Rows {
 public:
  explicit Rows(const Tensor& logits)
      : values_(logits.to(Device::cpu()).to(DType::f64)), V_(logits.dim(1)) {}
  const double* operator[](std::int64_t i) const { return values_.data<double>() + i * V_; }

 private:
  Tensor values_;
  std::int64_t V_;
};

/// The lowest index of the largest element, or -1 when the row has a NaN.
std::int64_t argmax(const double* z, std::int64_t V) {
  std::int64_t best = 0;
  for (std::int64_t v = 0; v < V; ++v) {
    if (std::isnan(z[v])) return -1;
    if (z[v] > z[best]) best = v;
  }
  return best;
}

/// log sum exp(z), exact for any finite z.
double log_sum_exp(const double* z, std::int64_t V) {
  double largest = z[0];
  for (std::int64_t v = 1; v < V; ++v) largest = std::fmax(largest, z[v]);
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) sum += std::exp(z[v] - largest);
  return largest + std::log(sum);
}

/// KL(p || q) of two rows of logits.
double kl(const double* zp, const double* zq, std::int64_t V) {
  const double lse_p = log_sum_exp(zp, V), lse_q = log_sum_exp(zq, V);
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) {
    const double log_p = zp[v] - lse_p, log_q = zq[v] - lse_q;
    const double p = std::exp(log_p);
    if (p != 0) sum += p * (log_p - log_q);
  }
  return sum < 0 ? 0 : sum;  // rounding may leave a tiny negative
}

/// m-1 for ((m-1)/15, m/15].
std::size_t bin_of(double confidence) {
  const double m = std::ceil(confidence * kEceBins);
  return static_cast<std::size_t>(std::fmin(std::fmax(m, 1.0), double{kEceBins})) - 1;
}

void check(const char* who, const Tensor& logits, const Tensor& labels) {
  LIMBECK_CHECK(logits.rank() == 2 && logits.numel() > 0 && is_floating(logits.dtype()), who,
                ": logits are ", logits.dtype(), " ", logits.shape(),
                "; expected floating (N,V) with N, V >= 1");
  LIMBECK_CHECK(labels.dtype() == DType::i32 && labels.shape() == Shape{logits.dim(0)}, who,
                ": labels are ", labels.dtype(), " ", labels.shape(), "; expected i32 (",
                logits.dim(0), ")");
}

std::vector<std::int32_t> checked_labels(const char* who, const Tensor& labels, std::int64_t V) {
  std::vector<std::int32_t> y = labels.to_vector<std::int32_t>();
  for (const std::int32_t label : y)
    LIMBECK_CHECK(label == kIgnoreIndex || (label >= 0 && label < V), who, ": label ", label,
                  "; expected 0 to ", V - 1);
  return y;
}

}  // namespace

void MetricsMeter::add(const Tensor& logits, const Tensor& labels) {
  check("measure", logits, labels);
  const std::int64_t N = logits.dim(0), V = logits.dim(1);
  const std::vector<std::int32_t> y = checked_labels("measure", labels, V);
  const Rows rows(logits);
  for (std::int64_t i = 0; i < N; ++i) {
    const double* z = rows[i];
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    const std::int64_t guess = argmax(z, V);
    const double lse = log_sum_exp(z, V);
    const double confidence = guess < 0 ? std::nan("") : std::exp(z[guess] - lse);
    Bin& bin = bins_[bin_of(confidence)];
    bin.confidence += confidence;
    bin.correct += guess == label;
    errors_ += guess != label;
    nll_ += lse - z[label];
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

Metrics measure(const Tensor& logits, const Tensor& labels) {
  MetricsMeter meter;
  meter.add(logits, labels);
  return meter.result();
}

void FidelityMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  check("measure_fidelity", student, labels);
  check("measure_fidelity", teacher, labels);
  LIMBECK_CHECK(student.shape() == teacher.shape(), "measure_fidelity: teacher has shape ",
                teacher.shape(), ", student ", student.shape(), "; expected equal shapes (N,V)");
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const std::vector<std::int32_t> y = checked_labels("measure_fidelity", labels, V);
  const Rows zs(student), zt(teacher);
  for (std::int64_t i = 0; i < N; ++i) {
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    const std::int64_t s = argmax(zs[i], V), t = argmax(zt[i], V);
    equal_ += s == t && s >= 0;
    student_right_ += s == label;
    teacher_right_ += t == label;
    forward_kl_ += kl(zt[i], zs[i], V);
    reverse_kl_ += kl(zs[i], zt[i], V);
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
