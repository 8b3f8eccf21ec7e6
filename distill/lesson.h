// SPDX-License-Identifier: Apache-2.0
// What one participant of a run learns from others: the arrow of every mode.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <limbeck/distill/confidence.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/lesson_schedule.h>
#include <limbeck/distill/tap_statistics.h>
#include <limbeck/distill/view.h>
#include <limbeck/kernels/kd_loss.h>

namespace limbeck {

/// All weights but the labels' cross-entropy: added up, and multiplied by a factor.
double soft_weights(const KdLossOptions& loss);
KdLossOptions scale_soft_weights(KdLossOptions loss, double factor);

/// One layer of the receiver learns from one of the source: weight times the loss. Layers are named
/// as in ModelGraph; features are f32.
struct FeatureLesson {
  std::string receiver, source;
  double weight = 0;
  std::shared_ptr<FeatureLoss> loss;
  /// What `loss` standardises the source by, where that is trained too: follows its taps, in place,
  /// before they are encoded. May be null.
  std::shared_ptr<TapStatistics> statistics = {};
  /// Codes of all samples of the data, computed before; undefined: those of the source's taps.
  Tensor codes = {};
};

/// Target logits (R,V) made of the sources' and the labels (R), and of nothing else that changes:
/// the work it queues may be repeated as part of a captured graph.
using LogitsTarget =
    std::function<Tensor(const std::vector<Tensor>& sources, const Tensor& labels)>;
/// The code of a batch of the source's taps, which the statistics follow first.
Tensor code_of(const FeatureLesson& feature, const Tensor& tap);

/// `receiver` learns from `sources`; both are participants by their number, and no gradient reaches
/// a source. Forward distillation is a lesson of a small model from a big one, reverse one of a big
/// model from a small one, mutual both of them.
struct Lesson {
  std::size_t receiver = 0;
  std::vector<std::size_t> sources = {};
  /// ce_weight is of the labels' cross-entropy; the other weights want a source or a target. None:
  /// features alone.
  std::optional<KdLossOptions> logits = {};
  LogitsTarget target = {};  ///< none: the only source's logits
  /// Weak-to-strong: what the receiver is sure of itself, beside the target; weight times the loss.
  std::optional<ConfidenceOptions> confidence = {};
  double confidence_weight = 1;
  std::vector<FeatureLesson> features = {};  ///< of the only source, or none where all have codes
  /// Of all terms but the labels' cross-entropy.
  LessonSchedule schedule = {};
};

/// Where a run is.
struct RunClock {
  std::int64_t step = 0, total = 1;
};

/// The loss (1) of a lesson for one part of a batch of `samples`: in this order the logits' terms,
/// the confidence's and each feature's, added up. Sources in the lesson's order. Undefined when
/// nothing has a weight. The logits' terms that read labels read both of a mixture, by their
/// weights, and cross-entropy is smoothed.
Variable lesson_loss(const Lesson& lesson, const RunClock& clock, const View& receiver,
                     const std::vector<const View*>& sources, const Batch& part, double samples,
                     double label_smoothing = 0);

/// All numbers of the lesson that change with the clock: where they are the same, so is all that
/// its loss does on the host.
std::vector<double> clock_numbers(const Lesson& lesson, const RunClock& clock);

/// Whether any of its terms has to do with a source's logits, or a target's, at any time.
bool wants_logits(const Lesson& lesson);

/// Whether lesson_loss reads the source's layer for one of its features now.
bool reads_source(const Lesson& lesson, const FeatureLesson& feature, const RunClock& clock);

/// Whether lesson_loss reads a source's logits now.
bool reads_logits(const Lesson& lesson, const RunClock& clock);

/// Whether lesson_loss reads the sources now.
bool reads_sources(const Lesson& lesson, const RunClock& clock);

}  // namespace limbeck
