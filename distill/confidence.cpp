// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/confidence.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/distill/lesson_schedule.h>
#include <limbeck/kernels/balanced_labels.h>

namespace limbeck {
namespace {

void check_alpha(double alpha) {
  LIMBECK_CHECK(alpha >= 0 && alpha <= 1, "confidence: alpha is ", alpha, "; expected 0 to 1");
}

}  // namespace

double confidence_alpha(const ConfidenceOptions& options, std::int64_t step, std::int64_t total) {
  check_alpha(options.alpha);
  return options.alpha * lesson_factor({.ramp = options.ramp}, step, total);
}

Tensor confidence_labels(const Tensor& student, const Tensor& weak,
                         const ConfidenceOptions& options) {
  LIMBECK_CHECK(student.defined() && student.rank() == 2, "confidence_labels: student has shape ",
                student.defined() ? student.shape() : Shape{}, "; expected (N,V)");
  const DType full = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor labels = Tensor::empty({student.dim(0)}, DType::i32, student.device());
  Tensor offsets = Tensor::empty({student.dim(1)}, full, student.device());
  balanced_labels(labels, offsets, student, weak, {options.iterations, options.threshold});
  return labels;
}

Variable confidence_loss(const Variable& student, const Tensor& weak, double alpha,
                         const ConfidenceOptions& options) {
  check_alpha(alpha);
  const Tensor labels = confidence_labels(student.value(), weak, options);
  const double rows =
      options.mean_over > 0 ? options.mean_over : static_cast<double>(labels.dim(0));
  KdLossOptions loss = {.tau = 1, .kd_weight = 1 - alpha, .ce_weight = 0, .mean_over = rows};
  if (options.threshold > 0)  // rows without a label of their own still learn from the weak model
    return add(kd_loss(student, weak, {}, loss),
               scale(cross_entropy(student, labels, {.mean_over = rows}), alpha));
  loss.ce_weight = alpha;
  return kd_loss(student, weak, labels, loss);
}

}  // namespace limbeck
