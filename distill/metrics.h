// SPDX-License-Identifier: Apache-2.0
// How good a model is, and how much of the teacher a student has.
#pragma once

#include <array>
#include <cstdint>

#include <limbeck/core/tensor.h>

namespace limbeck {

inline constexpr int kEceBins = 15;

/// A model against the labels, over N samples; p = softmax(logits).
struct Metrics {
  std::int64_t samples = 0;
  std::int64_t errors = 0;  ///< argmax (lowest index among equals) is not the label, or is a NaN
  double accuracy = 0;      ///< 1 - errors / N
  double nll = 0;           ///< mean of -log p_label
  /// Expected calibration error, Guo et al. 2017: sum over m of (|B_m|/N) |accuracy(B_m) -
  /// confidence(B_m)|, confidence = max p, B_m = ((m-1)/15, m/15].
  double ece = 0;
};

/// One bar of a reliability diagram: samples whose confidence, max p, lies in a bin of
/// Metrics::ece.
struct ReliabilityBin {
  std::int64_t samples = 0;
  double confidence = 0;  ///< their mean; 0 where there are none
  double accuracy = 0;    ///< the share of them that is right; 0 where there are none
};

/// How far a model's probabilities can be believed.
struct Calibration {
  std::array<ReliabilityBin, kEceBins> bins;
  /// Mean of sum over classes of (p_c - [c is the label])^2, Brier 1950: 0 to 2.
  double brier = 0;
};

/// Measures a model part by part: what comes out is what measure says of all parts together.
class MetricsMeter {
 public:
  /// logits (N,V) of a floating dtype, labels (N) i32 in [0,V) or kIgnoreIndex, rows that do not
  /// count; N, V >= 1, any device. Sums are doubles in sample order on the CPU. Throws
  /// std::invalid_argument.
  void add(const Tensor& logits, const Tensor& labels);
  /// Throws std::invalid_argument when no row counted.
  Metrics result() const;
  /// Throws std::invalid_argument when no row counted.
  Calibration calibration() const;

 private:
  /// Sums over one bin of a reliability diagram.
  struct Bin {
    std::int64_t samples = 0, correct = 0;
    double confidence = 0;
  };
  std::int64_t samples_ = 0, errors_ = 0;
  double nll_ = 0, brier_ = 0;
  std::array<Bin, kEceBins> bins_;
};

/// A MetricsMeter of one part. NaN logits give errors and NaN nll and ece.
Metrics measure(const Tensor& logits, const Tensor& labels);

/// A student against its teacher, over N samples.
struct Fidelity {
  double agreement = 0;  ///< share of samples with equal argmax
  /// Product of the two accuracies. Two models that err independently already agree at least this
  /// often, so only what lies above it speaks of the teacher (Stanton et al. 2021).
  double baseline = 0;
  double forward_kl = 0;  ///< mean KL(teacher || student) at tau = 1
  double reverse_kl = 0;  ///< mean KL(student || teacher) at tau = 1
};

/// Measures a student against its teacher part by part.
class FidelityMeter {
 public:
  /// student, teacher (N,V) of floating dtypes; otherwise as MetricsMeter::add.
  void add(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  /// Throws std::invalid_argument when no row counted.
  Fidelity result() const;

 private:
  std::int64_t samples_ = 0, equal_ = 0, student_right_ = 0, teacher_right_ = 0;
  double forward_kl_ = 0, reverse_kl_ = 0;
};

/// A FidelityMeter of one part.
Fidelity measure_fidelity(const Tensor& student, const Tensor& teacher, const Tensor& labels);

}  // namespace limbeck
