// SPDX-License-Identifier: Apache-2.0
// All that is measured of a student's logits against its teacher's, in one pass over the data.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/confusion.h>
#include <limbeck/distill/dark_knowledge.h>
#include <limbeck/distill/kl_quantiles.h>
#include <limbeck/distill/metrics.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// Above so many classes confusions are not counted: the matrices would not fit, or be read.
inline constexpr std::int64_t kMaxConfusionClasses = 1000;
/// Class biases are looked for among at most so many classes and logits, which are kept for it.
inline constexpr std::int64_t kMaxBiasClasses = 100;
inline constexpr std::int64_t kMaxBiasLogits = std::int64_t{1} << 24;

/// One model against the labels.
struct ModelTransfer {
  Metrics metrics;
  Calibration calibration;
  std::vector<ClassBias> biases;  ///< empty: too many classes, or logits that are not finite
};

struct Transfer {
  ModelTransfer student, teacher;
  Fidelity fidelity;
  KlQuantiles kl;
  DarkKnowledge dark;
  std::optional<ConfusionTransfer> confusion;  ///< none: too many classes
};

/// Takes samples part by part.
class TransferMeter {
 public:
  /// tau is that of DarkKnowledge. Throws std::invalid_argument.
  TransferMeter(std::int64_t classes, double tau);
  /// As FidelityMeter::add (distill/metrics.h), V the number of classes.
  void add(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  /// Throws std::invalid_argument when no row counted.
  Transfer result() const;

 private:
  /// Rows of logits that are kept.
  struct Kept {
    std::vector<float> student, teacher;
    std::vector<std::int32_t> labels;
  };
  void keep(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  std::vector<ClassBias> biases(const std::vector<float>& logits) const;

  std::int64_t V_;
  MetricsMeter student_, teacher_;
  FidelityMeter fidelity_;
  KlMeter kl_;
  DarkKnowledgeMeter dark_;
  std::optional<ConfusionMeter> confusion_;
  std::optional<Kept> kept_;
};

/// Logits of both models (R,V) f32 of rows [first, first + R) of the labels, and the labels (R).
using LogitVisitor = std::function<void(std::int64_t first, const Tensor& student,
                                        const Tensor& teacher, const Tensor& labels)>;

/// Runs both models on all samples of two sources in their order, in evaluation mode; the sources
/// hold the same samples, prepared for one model each. A source with a label for every step, (B,T),
/// gives B T rows per batch. Throws std::invalid_argument when the models' outputs do not fit the
/// labels, each other or `classes`.
void visit_logits(Module& student, BatchSource& student_data, Module& teacher,
                  BatchSource& teacher_data, std::int64_t classes, const LogitVisitor& visit);

}  // namespace limbeck
