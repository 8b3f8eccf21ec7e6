// SPDX-License-Identifier: Apache-2.0
// How much of a model's features survives in codes: they are recovered from the codes and compared.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <limbeck/distill/recovery.h>

namespace limbeck {

struct RecoveryOptions {
  /// Elements kept of each feature vector; 0: default_sparsity(K, D).
  std::int64_t sparsity = 0;
  /// Above 0: by fista with this relative lambda instead of by omp; then the `sparsity` largest
  /// elements of what it finds count as its support.
  double relative_lambda = 0;
  std::int64_t iterations = 1000;  ///< of fista
};

/// Where omp can be expected to succeed, K = 2 s ln D: the s it allows, at least 1.
std::int64_t default_sparsity(std::int64_t K, std::int64_t D);

struct RecoveryReport {
  std::int64_t samples = 0;
  std::int64_t sparsity = 0;  ///< s, as chosen
  double nonzeros = 0;  ///< share of the features that is not 0; below s/D nothing need be lost
  /// 10 log10(sum |t|^2 / sum |t - recovered|^2); infinite when nothing is lost.
  double snr_db = 0;
  /// The same for the best any method could do with s elements: t's own s largest.
  double best_snr_db = 0;
  /// Of the s largest elements of t and those found (of either only what is not 0), counted over
  /// all samples: 2 common / (true + found); 0 when there are none.
  double support_f1 = 0;
  /// Share of samples on which a head's largest logit is the same for t and for what was recovered;
  /// NaN without a head.
  double agreement = std::numeric_limits<double>::quiet_NaN();
};

/// The logits (N,V) of features (N,D); on the CPU and in the dtype of the features given.
using FeatureHead = std::function<Tensor(const Tensor&)>;

/// codes (N,K) = features phi^T, phi (K,D), features t (N,D), any floating dtypes and devices: for
/// a technique that codes by a matrix its rows(encode(taps)), measurement() and tap_rows(taps)
/// (distill/compressed_sensing.h). Takes N omp or fista solutions on the CPU. Throws
/// std::invalid_argument for other shapes and N = 0.
RecoveryReport recovery_report(const Tensor& codes, const Tensor& phi, const Tensor& features,
                               const RecoveryOptions& options = {}, const FeatureHead& head = {});

/// The elements of x (D) that are among its s largest by magnitude (the first of equals) and not 0,
/// in ascending order.
std::vector<std::int64_t> largest_elements(const double* x, std::int64_t D, std::int64_t s);

}  // namespace limbeck
