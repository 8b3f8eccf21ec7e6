// SPDX-License-Identifier: Apache-2.0
// Logits row by row in doubles on the host, as every measure of them reads them.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// A copy of logits (N,V) of a floating dtype on any device.
class LogitRows {
 public:
  explicit LogitRows(const Tensor& logits);
  const double* operator[](std::int64_t i) const { return values_.data<double>() + i * V_; }

 private:
  Tensor values_;
  std::int64_t V_;
};

/// The lowest index of the largest element, or -1 when the row has a NaN.
std::int64_t argmax_of_row(const double* z, std::int64_t V);
/// log sum exp(z), exact for any finite z.
double log_sum_exp(const double* z, std::int64_t V);
/// KL(softmax zp || softmax zq), not below 0.
double kl_of_rows(const double* zp, const double* zq, std::int64_t V);
/// softmax(z / tau).
std::vector<double> softmax_of_row(const double* z, std::int64_t V, double tau = 1);

/// Throws std::invalid_argument in the name of `who` unless logits are floating (N,V), N, V >= 1,
/// and labels i32 (N).
void check_logits(const char* who, const Tensor& logits, const Tensor& labels);
/// The same for two models, whose logits are of one shape.
void check_logits(const char* who, const Tensor& student, const Tensor& teacher,
                  const Tensor& labels);
/// The labels on the host; throws unless each is in [0,V) or kIgnoreIndex.
std::vector<std::int32_t> checked_labels(const char* who, const Tensor& labels, std::int64_t V);

}  // namespace limbeck
