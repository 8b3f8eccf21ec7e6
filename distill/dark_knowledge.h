// SPDX-License-Identifier: Apache-2.0
// What a teacher says about the classes that are not the label, and how much of it the student says
// too.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Means over samples, all at one temperature tau, in nats. q = softmax over the classes but the
/// label of z / tau: what is left of the softmax once the label's share is taken out.
struct DarkKnowledge {
  double tau = 1;
  /// KL(q of the teacher || q of the student): NCKD of decoupled distillation (Zhao et al. 2022),
  /// without its factor tau^2. 0: the student has all of it.
  double nckd = 0;
  double student_entropy = 0,
         teacher_entropy = 0;                 ///< H(q): log(V-1) at most, 0 if one class is all
  double student_mass = 0, teacher_mass = 0;  ///< 1 - p_label, what q is a share of
  /// Per class, z_c less the mean of z, student's minus teacher's: how much more the student leans
  /// towards a class, whatever the sample.
  std::vector<double> logit_gap;
};

/// Takes samples part by part.
class DarkKnowledgeMeter {
 public:
  /// classes >= 2 and tau > 0. Throws std::invalid_argument.
  DarkKnowledgeMeter(std::int64_t classes, double tau);
  /// As FidelityMeter::add (distill/metrics.h); V is the number of classes.
  void add(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  /// Throws std::invalid_argument when no row counted.
  DarkKnowledge result() const;

 private:
  std::int64_t V_, samples_ = 0;
  DarkKnowledge sums_;
};

/// How far a model is from the best constant offset of one class's logit (distill/bias_sweep.h):
/// Hinton, Vinyals and Dean's (2015) cure for a class the transfer set left out, as a diagnosis.
struct ClassBias {
  double offset = 0;              ///< what, added to the class's logit, leaves the fewest errors
  std::int64_t errors_saved = 0;  ///< by it, among all samples
};

/// One for every class. Logits (N,V) are finite, labels (N) i32 in [0,V), V >= 2.
std::vector<ClassBias> class_biases(const Tensor& logits, const Tensor& labels);

}  // namespace limbeck
