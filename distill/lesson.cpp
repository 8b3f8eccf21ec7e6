// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/lesson.h>

#include <algorithm>
#include <utility>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/kd_head.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/distill/kd_topk.h>
#include <limbeck/distill/label_loss.h>

namespace limbeck {
namespace {

/// The sum of losses so far, and one more.
void add_to(Variable& total, const Variable& loss) {
  if (!loss.defined()) return;
  total = total.defined() ? add(total, loss) : loss;
}

Variable weighted(const Variable& loss, double weight) {
  return weight == 1 ? loss : scale(loss, weight);
}

double factor_of(const Lesson& lesson, const RunClock& clock) {
  return lesson_factor(lesson.schedule, clock.step, clock.total);
}

/// With `share` of the terms that read labels; of a mixture's second label those alone.
KdLossOptions first_label(KdLossOptions loss, double share) {
  for (double* weight : {&loss.ce_weight, &loss.tckd_weight, &loss.nckd_weight}) *weight *= share;
  return loss;
}
KdLossOptions second_label(const KdLossOptions& loss, double share) {
  return {.tau = loss.tau,
          .kd_weight = 0,
          .ce_weight = share * loss.ce_weight,
          .mean_over = loss.mean_over,
          .tckd_weight = share * loss.tckd_weight,
          .nckd_weight = share * loss.nckd_weight};
}

Tensor target_of(const Lesson& lesson, const std::vector<const View*>& sources,
                 const Tensor& labels) {
  std::vector<Tensor> seen;
  for (const View* source : sources) seen.push_back(source->logits.value());
  return lesson.target ? lesson.target(seen, labels) : seen.at(0);
}

Variable heads_loss(const Head& receiver, const Head& source, const Tensor& labels,
                    const KdLossOptions& loss) {
  KdHeadOptions options = {.loss = loss};
  if (!labels.device().is_cuda()) options.logits_bytes = std::size_t{32} << 20;  // no launches
  return kd_head(receiver.hidden, receiver.weight, source.hidden.value(), source.weight.value(),
                 labels, options);
}

/// Undefined when none of its terms has a weight now.
Variable logits_loss(const Lesson& lesson, double factor, const View& receiver,
                     const std::vector<const View*>& sources, const Batch& part, double smoothing) {
  const TraceScope scope("logits", TraceKind::loss);
  const Variable& logits = receiver.logits;
  const Tensor labels = label_rows(part.labels);
  KdLossOptions loss = scale_soft_weights(*lesson.logits, factor);
  loss.mean_over = part.targets;
  if (soft_weights(loss) == 0 && loss.ce_weight == 0) return {};
  if (soft_weights(loss) == 0) return weighted(label_loss(logits, part, smoothing), loss.ce_weight);
  if (receiver.head.hidden.defined())
    return heads_loss(receiver.head, sources.at(0)->head, labels, loss);
  const bool top = !lesson.target && sources.at(0)->top.logits.defined();
  const Tensor target = top ? Tensor() : target_of(lesson, sources, labels);
  const auto term = [&](const Tensor& told, const KdLossOptions& options) {
    return top ? kd_topk(logits, sources[0]->top, told, options)
               : kd_loss(logits, target, told, options);
  };
  const double smoothed = smoothing > 0 ? std::exchange(loss.ce_weight, 0.0) : 0;
  Variable total = term(labels, first_label(loss, part.label_weight));
  const KdLossOptions second = second_label(loss, 1 - part.label_weight);
  if (part.other_labels.defined() && second.ce_weight + second.tckd_weight + second.nckd_weight > 0)
    add_to(total, term(label_rows(part.other_labels), second));
  if (smoothed > 0) add_to(total, weighted(label_loss(logits, part, smoothing), smoothed));
  return total;
}

Variable own_labels_loss(const Lesson& lesson, const RunClock& clock, const View& receiver,
                         const std::vector<const View*>& sources, const Batch& part) {
  const TraceScope scope("confidence", TraceKind::loss);
  ConfidenceOptions options = *lesson.confidence;
  options.mean_over = part.targets;
  return confidence_loss(receiver.logits, target_of(lesson, sources, label_rows(part.labels)),
                         confidence_alpha(options, clock.step, clock.total), options);
}

Variable feature_loss(const FeatureLesson& feature, const View& receiver,
                      const std::vector<const View*>& sources, const Batch& part, double samples) {
  const TraceScope scope(feature.receiver, TraceKind::loss);
  const auto code_of_source = [&] {
    const View& source = *sources.at(0);
    const auto made = source.codes.find({feature.loss.get(), feature.source});
    return made != source.codes.end() ? made->second
                                      : code_of(feature, source.taps.at(feature.source).value());
  };
  const Tensor code =
      feature.codes.defined() ? stored_rows(feature.codes, part.samples) : code_of_source();
  return feature.loss->loss(receiver.taps.at(feature.receiver), code, samples);
}

}  // namespace

double soft_weights(const KdLossOptions& loss) {
  return loss.kd_weight + loss.reverse_kl_weight + loss.jsd_weight + loss.tvd_weight +
         loss.tckd_weight + loss.nckd_weight;
}

KdLossOptions scale_soft_weights(KdLossOptions loss, double factor) {
  for (double* weight : {&loss.kd_weight, &loss.reverse_kl_weight, &loss.jsd_weight,
                         &loss.tvd_weight, &loss.tckd_weight, &loss.nckd_weight})
    *weight *= factor;
  return loss;
}

Tensor code_of(const FeatureLesson& feature, const Tensor& tap) {
  const TraceScope scope(traces(TraceKind::loss) ? "code of " + feature.source : std::string(),
                         TraceKind::loss);
  if (feature.statistics) feature.statistics->follow(tap);
  return feature.loss->encode(tap);
}

std::vector<double> clock_numbers(const Lesson& lesson, const RunClock& clock) {
  std::vector<double> numbers = {factor_of(lesson, clock)};
  if (lesson.confidence)
    numbers.push_back(confidence_alpha(*lesson.confidence, clock.step, clock.total));
  return numbers;
}

bool wants_logits(const Lesson& lesson) {
  return (lesson.logits && soft_weights(*lesson.logits) > 0) ||
         (lesson.confidence && lesson.confidence_weight > 0);
}

bool reads_source(const Lesson& lesson, const FeatureLesson& feature, const RunClock& clock) {
  return !feature.codes.defined() && factor_of(lesson, clock) * feature.weight > 0;
}

bool reads_logits(const Lesson& lesson, const RunClock& clock) {
  double weights = lesson.logits ? soft_weights(*lesson.logits) : 0;
  if (lesson.confidence) weights += lesson.confidence_weight;
  return factor_of(lesson, clock) * weights > 0;
}

bool reads_sources(const Lesson& lesson, const RunClock& clock) {
  return reads_logits(lesson, clock) ||
         std::any_of(lesson.features.begin(), lesson.features.end(),
                     [&](const FeatureLesson& f) { return reads_source(lesson, f, clock); });
}

Variable lesson_loss(const Lesson& lesson, const RunClock& clock, const View& receiver,
                     const std::vector<const View*>& sources, const Batch& part, double samples,
                     double label_smoothing) {
  Variable total;
  const double factor = factor_of(lesson, clock);
  if (lesson.logits)
    add_to(total, logits_loss(lesson, factor, receiver, sources, part, label_smoothing));
  if (const double weight = factor * lesson.confidence_weight; lesson.confidence && weight > 0)
    add_to(total, weighted(own_labels_loss(lesson, clock, receiver, sources, part), weight));
  for (const FeatureLesson& feature : lesson.features)
    if (const double weight = factor * feature.weight; weight > 0)
      add_to(total, weighted(feature_loss(feature, receiver, sources, part, samples), weight));
  return total;
}

}  // namespace limbeck
