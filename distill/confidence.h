// SPDX-License-Identifier: Apache-2.0
// A strong model that learns from a weak one and comes to trust itself: Burns et al. (2023),
// "Weak-to-strong generalization", section 4.3.2 and appendix A.4.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

struct ConfidenceOptions {
  double alpha = 0.5;    ///< the most that the student's own labels weigh, 0 to 1
  double ramp = 0.2;     ///< share of the run over which they come to it, linearly from 0
  double threshold = 0;  ///< of a label's probability, below which the row has none; 0 to 1
  int iterations = 3;    ///< of the search for class offsets
  double mean_over = 0;  ///< rows the loss is a mean over, as CrossEntropyOptions; 0: all N
};

/// alpha at step 0, 1, ..., total - 1: options.alpha min(step / (ramp total), 1). A true ramp: it
/// does not jump where it ends. Throws std::invalid_argument for a field, step or total out of
/// range.
double confidence_alpha(const ConfidenceOptions& options, std::int64_t step, std::int64_t total);

/// Hard labels (N) i32 of the student's own logits (N,V), once per-class offsets have made the
/// classes as probable on the mean over the batch as they are to the weak model, of logits (N,V)
/// (kernels/balanced_labels.h): a threshold per class in place of the paper's one for two classes.
/// Rows below options.threshold are kIgnoreIndex. Computed on the device, without a host read. Part
/// of a batch has a balance of its own.
Tensor confidence_labels(const Tensor& student, const Tensor& weak,
                         const ConfidenceOptions& options = {});

/// The loss (1): (1 - alpha) KL(weak || student) + alpha CE(student, confidence_labels), at tau = 1
/// and with alpha as confidence_alpha gives it. The paper's cross-entropy with the weak model's
/// probabilities is this KL and their entropy, which has no gradient. It reaches the student alone:
/// its own labels are constants.
Variable confidence_loss(const Variable& student, const Tensor& weak, double alpha,
                         const ConfidenceOptions& options = {});

}  // namespace limbeck
