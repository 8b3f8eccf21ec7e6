// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/logit_rows.h>

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

LogitRows::LogitRows(const Tensor& logits)
    : values_(logits.to(Device::cpu()).to(DType::f64)), V_(logits.dim(1)) {}

std::int64_t argmax_of_row(const double* z, std::int64_t V) {
  std::int64_t best = 0;
  for (std::int64_t v = 0; v < V; ++v) {
    if (std::isnan(z[v])) return -1;
    if (z[v] > z[best]) best = v;
  }
  return best;
}

double log_sum_exp(const double* z, std::int64_t V) {
  double largest = z[0];
  for (std::int64_t v = 1; v < V; ++v) largest = std::fmax(largest, z[v]);
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) sum += std::exp(z[v] - largest);
  return largest + std::log(sum);
}

double kl_of_rows(const double* zp, const double* zq, std::int64_t V) {
  const double lse_p = log_sum_exp(zp, V), lse_q = log_sum_exp(zq, V);
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) {
    const double log_p = zp[v] - lse_p, log_q = zq[v] - lse_q;
    const double p = std::exp(log_p);
    if (p != 0) sum += p * (log_p - log_q);
  }
  return sum < 0 ? 0 : sum;  // rounding may leave a tiny negative
}

std::vector<double> softmax_of_row(const double* z, std::int64_t V, double tau) {
  std::vector<double> p(static_cast<std::size_t>(V));
  for (std::int64_t v = 0; v < V; ++v) p[static_cast<std::size_t>(v)] = z[v] / tau;
  const double lse = log_sum_exp(p.data(), V);
  for (double& value : p) value = std::exp(value - lse);
  return p;
}

void check_logits(const char* who, const Tensor& logits, const Tensor& labels) {
  LIMBECK_CHECK(logits.rank() == 2 && logits.numel() > 0 && is_floating(logits.dtype()), who,
                ": logits are ", logits.dtype(), " ", logits.shape(),
                "; expected floating (N,V) with N, V >= 1");
  LIMBECK_CHECK(labels.dtype() == DType::i32 && labels.shape() == Shape{logits.dim(0)}, who,
                ": labels are ", labels.dtype(), " ", labels.shape(), "; expected i32 (",
                logits.dim(0), ")");
}

void check_logits(const char* who, const Tensor& student, const Tensor& teacher,
                  const Tensor& labels) {
  check_logits(who, student, labels);
  check_logits(who, teacher, labels);
  LIMBECK_CHECK(student.shape() == teacher.shape(), who, ": teacher has shape ", teacher.shape(),
                ", student ", student.shape(), "; expected equal shapes (N,V)");
}

std::vector<std::int32_t> checked_labels(const char* who, const Tensor& labels, std::int64_t V) {
  std::vector<std::int32_t> y = labels.to_vector<std::int32_t>();
  for (const std::int32_t label : y)
    LIMBECK_CHECK(label == kIgnoreIndex || (label >= 0 && label < V), who, ": label ", label,
                  "; expected 0 to ", V - 1);
  return y;
}

}  // namespace limbeck
