// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/lesson.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/distill/kd_topk.h>

namespace limbeck {
namespace {

/// The sum of losses so far, and one more.
void add_to(Variable& total, const Variable& loss) {
  total = total.defined() ? add(total, loss) : loss;
}

Variable weighted(const Variable& loss, double weight) {
  return weight == 1 ? loss : scale(loss, weight);
}

Variable logits_loss(const Lesson& lesson, const KdLossOptions& loss, const View& receiver,
                     const std::vector<const View*>& sources, const Tensor& labels) {
  if (!lesson.target && sources.at(0)->top.logits.defined())
    return kd_topk(receiver.logits, sources[0]->top, labels, loss);
  std::vector<Tensor> seen;
  for (const View* source : sources) seen.push_back(source->logits.value());
  const Tensor target = lesson.target ? lesson.target(seen, labels) : seen.at(0);
  const Tensor told = lesson.labels ? lesson.labels(receiver.logits.value(), target) : labels;
  return kd_loss(receiver.logits, target, told, loss);
}

Variable feature_loss(const FeatureLesson& feature, const View& receiver,
                      const std::vector<const View*>& sources, const Batch& part, double samples) {
  const Tensor code = feature.codes.defined()
                          ? stored_rows(feature.codes, part.samples)
                          : code_of(feature, sources.at(0)->taps.at(feature.source).value());
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
  if (!feature.statistics) return feature.loss->encode(tap);
  feature.statistics->follow(tap);
  return feature.loss->encode(feature.statistics->standardise(tap));
}

bool reads_sources(const Lesson& lesson, double factor) {
  if (lesson.logits && soft_weights(*lesson.logits) * factor > 0) return true;
  for (const FeatureLesson& feature : lesson.features)
    if (factor * feature.weight > 0 && !feature.codes.defined()) return true;
  return false;
}

Variable lesson_loss(const Lesson& lesson, double factor, const View& receiver,
                     const std::vector<const View*>& sources, const Batch& part, double samples) {
  Variable total;
  if (lesson.logits) {
    const Tensor labels = part.labels.reshape({part.labels.numel()});
    KdLossOptions loss = scale_soft_weights(*lesson.logits, factor);
    loss.mean_over = part.targets;
    if (soft_weights(loss) > 0)
      total = logits_loss(lesson, loss, receiver, sources, labels);
    else if (loss.ce_weight > 0)
      total = weighted(cross_entropy(receiver.logits, labels, {.mean_over = part.targets}),
                       loss.ce_weight);
  }
  for (const FeatureLesson& feature : lesson.features)
    if (const double weight = factor * feature.weight; weight > 0)
      add_to(total, weighted(feature_loss(feature, receiver, sources, part, samples), weight));
  return total;
}

}  // namespace limbeck
