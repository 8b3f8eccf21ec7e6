// SPDX-License-Identifier: Apache-2.0
// Whether a student takes the same classes for one another as its teacher.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

struct ConfusionTransfer {
  /// (V,V) f64: row c is the mean softmax, at tau = 1, over the samples of class c; 0 where there
  /// are none.
  Tensor student, teacher;
  std::vector<std::int64_t> samples;  ///< of each class
  /// Pearson's r of the off-diagonal elements of the two, in rows of classes that have samples.
  /// None where it says nothing: fewer than two elements, or all of one matrix are the same.
  std::optional<double> correlation;
  std::int64_t both_wrong = 0;        ///< samples that neither model gets right
  std::int64_t same_wrong_class = 0;  ///< those of them that both take for the same class
  /// same_wrong_class / both_wrong; guessing among the wrong classes gives 1/(V-1). None: no sample
  /// is wrong in both.
  std::optional<double> same_wrong_share() const;
};

/// Takes samples part by part; keeps two (V,V) matrices.
class ConfusionMeter {
 public:
  explicit ConfusionMeter(std::int64_t classes);
  /// As FidelityMeter::add (distill/metrics.h); V is the number of classes. A row with a NaN is
  /// wrong in no class.
  void add(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  ConfusionTransfer result() const;

 private:
  std::int64_t V_;
  std::vector<double> student_, teacher_;  ///< sums of softmax rows
  std::vector<std::int64_t> samples_;
  std::int64_t both_wrong_ = 0, same_wrong_ = 0;
};

/// Pearson's correlation of two lists of one length; none for fewer than two and for constant ones.
std::optional<double> pearson(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace limbeck
